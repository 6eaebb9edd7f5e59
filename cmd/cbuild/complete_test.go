package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/creack/pty"
)

// completedFile is a workspace with something of everything that can be completed.
const completedFile = `
cbuild {}

variable "edition" {
  default     = "2021"
  allowed     = ["2021", "2024"]
  description = "Of the language."
}

run "check" {
  for_each = ["serde", "serde_json", "a b", "we[ird]"]
  matrix   = { go = { before = 1, after = 2 } }

  description = "Does it build?"
  tags        = ["slow"]
  env         = { WHO = each.key }
  script      = "exit 0"
}

run "all-of-it" {
  script = "exit 0"
}
`

func completedWorld(t *testing.T) *world {
	return newWorld(t, nil, map[string]string{
		"BUILD.hcl": completedFile, "sub/BUILD.hcl": "run \"deep\" {\n  tags = [\"small\"]\n  script = \"exit 0\"\n}\n", "dir/file": "",
	})
}

// shell returns the path of a shell. Where there is none, the test is skipped.
func shell(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("SKIPPED: there is no %s here", name)
	}
	return path
}

// The function for bash, without the package bash-completion, is given what readline gives it.
func TestCompletionInBash(t *testing.T) {
	bash := shell(t, "bash")
	w := completedWorld(t)
	script := filepath.Join(w.home, "cbuild.bash")
	w.save(script, "completion", "bash", "--no-descriptions")
	for line, want := range map[string][]string{
		"cbuild bui":                          {"build"},
		"cbuild build ch":                     {"check"},
		"cbuild build :ch":                    {"check"}, // bash's word begins behind the colon
		"cbuild build //sub":                  {"//sub:deep", "//sub/..."},
		"cbuild build //sub:":                 {"deep"},
		"cbuild build check[ser":              {"check[serde]", "check[serde_json]"},
		`cbuild build check\[serde_`:          {`check\[serde_json\]`},
		"cbuild build 'check[serde_":          {"check[serde_json]"}, // bash ends the quote
		`cbuild build "check[a`:               {"check[a b]"},
		"cbuild build check[a":                {`check\[a\ b\]`},
		`cbuild build check[\"`:               {`check\[\"we\[ird\]\"\]`},
		"cbuild build check[serde][":          {"check[serde][after]", "check[serde][before]"},
		"cbuild build tag:s":                  {"slow", "small"},
		"cbuild build edi":                    {"edition="},
		"cbuild build edition=":               {"2021", "2024"},
		"cbuild build edition=2021 ed":        {"edition="},
		"cbuild --var edi":                    {"edition="},
		"cbuild --exclude ch":                 {"check"},
		"cbuild --sandbox ":                   {"full", "none", "require"},
		"cbuild --progress=pl":                {"plain"},
		"cbuild --durability ":                {"group", "none"},
		"cbuild --events-level ":              {"all", "run"},
		"cbuild --fail-on regressed,inc":      {`regressed\,inconclusive`},
		"cbuild graph --format m":             {"mermaid"},
		"cbuild cas ":                         {"export", "gc", "get", "import", "stats", "verify"},
		"cbuild cas export all":               {"all-of-it"},
		"cbuild cas verify ":                  nil,
		"cbuild -C sub build d":               {"deep"},
		"cbuild -C d":                         {"dir"},
		"NAME=VALUE cbuild why all-of-it che": {"check"},
		"cbuild nothing-like-it ch":           {"check"}, // two targets
	} {
		t.Run(line, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), bash, "--norc", "--noprofile", "-c", `source "$0"; COMP_TYPE=9 COMP_LINE=$1 COMP_POINT=${#1}; _cbuild 2> /dev/null; printf '%s\n' "${COMPREPLY[@]}"`, script, line)
			cmd.Dir, cmd.Env = w.dir, w.environ("PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
			got = slices.DeleteFunc(got, func(line string) bool { return line == "" })
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("offered %q, want %q", got, want)
			}
		})
	}
}

// save writes what cbuild prints to a file.
func (w *world) save(file string, args ...string) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), binary, args...)
	cmd.Dir, cmd.Env = w.dir, w.environ()
	out, err := cmd.Output()
	check(w.t, err)
	check(w.t, os.WriteFile(file, out, 0o600))
}

// In each shell, whoever types the beginning of a word and a tab runs the command with the whole word.
func TestCompletionOnTheKeyboard(t *testing.T) {
	for name, c := range map[string]struct {
		args  []string
		begin string // reads the script and makes of cbuild something that shows its arguments
		open  string // a bracket
	}{
		"bash": {[]string{"--norc", "--noprofile", "-i"}, `source '%s'; cbuild() { printf '<%%s>' "$@"; echo; }`, "["},
		"zsh":  {[]string{"-f", "-i"}, `autoload -U compinit; compinit -u -D; source '%s'; show() { printf '<%%s>' "$@"; echo; }; cbuild() { show "$@"; }`, `\[`},
		"fish": {[]string{"--no-config", "-i"}, `source '%s'; function cbuild; printf '<%%s>' $argv; echo; end`, "["},
	} {
		t.Run(name, func(t *testing.T) {
			path := shell(t, name)
			w := completedWorld(t)
			script := filepath.Join(w.home, "script")
			w.save(script, "completion", name)
			if name != "bash" { // their scripts call the command by its name, also for what there is to complete
				program := "'" + binary + "'"
				data, err := os.ReadFile(script)
				check(t, err)
				check(t, os.WriteFile(script, []byte(strings.NewReplacer("${words[1]} __complete", program+" __complete", "$args[1] __complete", program+" __complete").Replace(string(data))), 0o600))
			}
			k := w.keyboard(path, c.args...)
			k.enter(fmt.Sprintf(c.begin, script))
			k.enter("echo rea''dy")
			k.until("ready\r\n")
			for typed, want := range map[string]string{
				"cbuild build al\t":                        "<build><all-of-it>",
				"cbuild build //sub:\t":                    "<build><//sub:deep>",
				"cbuild build edition=202\t4":              "<build><edition=2024>",
				"cbuild build check" + c.open + "serde_\t": "<build><check[serde_json]>",
				"cbuild build check" + c.open + "a\t":      "<build><check[a b]>",
			} {
				k.enter(typed)
				k.until(want + "\r\n")
			}
		})
	}
}

// A keyboard is somebody who types at a shell, and sees what it shows.
type keyboard struct {
	w      *world
	master *os.File
	shown  screen
}

func (w *world) keyboard(path string, args ...string) *keyboard {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), path, args...)
	cmd.Dir = w.dir
	cmd.Env = w.environ("PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"), "TERM=dumb", "PS1=> ")
	master, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 200})
	if err != nil {
		w.t.Skipf("SKIPPED: no pseudo-terminals: %v", err)
	}
	k := &keyboard{w: w, master: master}
	var reading sync.WaitGroup
	reading.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			_, _ = k.shown.Write(buf[:n])
			if err != nil {
				return
			}
		}
	})
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = master.Close()
		reading.Wait()
	})
	return k
}

// enter types a line. A tab in it is waited for.
func (k *keyboard) enter(line string) {
	k.w.t.Helper()
	before, after, tab := strings.Cut(line, "\t")
	_, err := k.master.WriteString(before)
	check(k.w.t, err)
	if tab {
		_, err = k.master.WriteString("\t" + after)
		check(k.w.t, err)
	}
	_, err = k.master.WriteString("\r")
	check(k.w.t, err)
}

// until waits until something was shown.
func (k *keyboard) until(text string) {
	k.w.t.Helper()
	defer func() {
		if k.w.t.Failed() {
			k.w.t.Logf("shown: %q", k.shown.String())
		}
	}()
	k.w.until(fmt.Sprintf("%q is shown", text), func() bool { return strings.Contains(k.shown.String(), text) })
}
