package main_test

import (
	le "encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"cbuild/internal/checkout"
)

// binary is the path of the cbuild that all tests of this package run; sourceDir is the directory of this package.
var binary, sourceDir string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

// buildAndRun builds cbuild once, as a user does, and runs the tests with it.
func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "cbuild-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "cbuild")
	if sourceDir, err = os.Getwd(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := goBuild(binary, "."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func goBuild(to string, args ...string) error {
	cmd := exec.Command("go", append([]string{"build", "-o", to}, args...)...) //nolint:noctx // ends with the tests
	cmd.Dir = sourceDir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// buggy builds cbuild-buggy, in which a run whose environment has CBUILD_FAULT=panic hits a bug.
var buggy = sync.OnceValue(func() error {
	return goBuild(filepath.Join(filepath.Dir(binary), "cbuild-buggy"), "-tags", "cbuild_faults", ".")
})

// Every script is a story about the built command: it has a home, a store and a state directory of its own outside of its workspace,
// and a module proxy and other registries on loopback that know only what the script adds to them.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setup,
		Condition:           condition,
		Cmds:                commands(),
	})
}

func setup(env *testscript.Env) error {
	home, err := os.MkdirTemp("", "cbuild-home-")
	if err != nil {
		return err
	}
	env.Defer(func() { _ = checkout.Remove(home) })
	n := newFakeNetwork()
	env.Defer(n.close)
	env.Values[networkKey{}] = n
	env.Setenv("HOME", home)
	env.Setenv("XDG_CACHE_HOME", filepath.Join(home, "cache"))
	env.Setenv("XDG_STATE_HOME", filepath.Join(home, "state"))
	env.Setenv("STORE", filepath.Join(home, "cache", "cbuild"))
	env.Setenv("STATE", filepath.Join(home, "state", "cbuild"))
	env.Setenv("PATH", filepath.Dir(binary)+string(filepath.ListSeparator)+os.Getenv("PATH"))
	env.Vars = append(env.Vars, n.proxy.Env(n.server.URL)...)
	f := newFakeWorld()
	env.Defer(f.close)
	env.Values[worldKey{}] = f
	env.Vars = append(env.Vars, f.world.Env(f.servers[0].URL)...)
	return nil
}

// condition knows [user], which holds unless the tests run as root, whom permissions do not stop.
func condition(name string) (bool, error) {
	if name == "user" {
		return os.Geteuid() != 0, nil
	}
	return false, fmt.Errorf("unknown condition %s", name)
}

func commands() map[string]func(*testscript.TestScript, bool, []string) {
	all := map[string]func(*testscript.TestScript, bool, []string){
		"example":  example,
		"exits":    exits,
		"buggy":    func(ts *testscript.TestScript, _ bool, _ []string) { ts.Check(buggy()) },
		"replace":  replaceText,
		"save":     saveAs,
		"flip":     flip,
		"rot":      rot,
		"await":    await,
		"nothing":  nothing,
		"rebuilt":  rebuilt,
		"finished": finished,
		"events":   checkEvents,
		"rows":     rows,
	}
	maps.Copy(all, proxyCommands)
	maps.Copy(all, webCommands)
	maps.Copy(all, worldCommands)
	maps.Copy(all, faultCommands)
	return all
}

// exits runs a program that must end with the given status: exits STATUS PROGRAM [ARG…].
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS PROGRAM [ARG…]")
	}
	err := ts.Exec(args[1], args[2:]...)
	status := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		status = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(status) != args[0] {
		ts.Fatalf("%s ended with status %d, want %s", args[1], status, args[0])
	}
}

// example copies an example of this repository to a directory of its name: example NAME.
func example(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: example NAME")
	}
	ts.Check(os.CopyFS(ts.MkAbs(args[0]), os.DirFS(filepath.Join(sourceDir, "..", "..", "examples", args[0]))))
	_ = checkout.Remove(filepath.Join(ts.MkAbs(args[0]), "cbuild-out")) // of somebody who tried it
}

// replaceText replaces every occurrence of a text, of which there must be one: replace FILE OLD NEW. In NEW, \n is a line end.
func replaceText(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: replace FILE OLD NEW")
	}
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s does not contain %q", args[0], args[1])
	}
	text = strings.ReplaceAll(text, args[1], strings.ReplaceAll(args[2], `\n`, "\n"))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o644))
}

// saveAs copies a file as editors save: whoever looks sees what was there before or all that is there now: save FROM TO.
func saveAs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: save FROM TO")
	}
	ts.Check(saveText(ts.MkAbs(args[1]), ts.ReadFile(args[0])))
}

// saveText writes a file at once: what is made before has a name that cbuild watch does not mind.
func saveText(name, text string) error {
	if err := os.WriteFile(name+"~", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(name+"~", name)
}

// flip changes a byte in the middle of every file that a pattern matches, of which there must be one: flip PATTERN.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: flip PATTERN")
	}
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	flipped := 0
	for _, name := range files {
		data, err := os.ReadFile(name)
		ts.Check(err)
		if len(data) == 0 {
			continue
		}
		data[len(data)/2] ^= 0x40
		ts.Check(os.Chmod(name, 0o600))
		ts.Check(os.WriteFile(name, data, 0o600))
		flipped++
	}
	if flipped == 0 {
		ts.Fatalf("no file matches %s", args[0])
	}
}

// rot changes a byte of every blob or record in the packs that a pattern matches: rot blobs|records PATTERN. docs/FORMATS.md has the
// form of packs.
func rot(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: rot blobs|records PATTERN")
	}
	const packHeader, frameHeader, record = 40, 60, 5
	files, err := filepath.Glob(ts.MkAbs(args[1]))
	ts.Check(err)
	rotten := 0
	for _, name := range files {
		data, err := os.ReadFile(name)
		ts.Check(err)
		for at := packHeader; at+frameHeader < len(data); {
			kind, length := data[at+4], int(le.LittleEndian.Uint32(data[at+12:]))
			at += frameHeader
			if length > 0 && (kind == record) == (args[0] == "records") {
				data[at+length/8] ^= 0x40 // of a record that is the head
				rotten++
			}
			at += length
		}
		ts.Check(os.Chmod(name, 0o600))
		ts.Check(os.WriteFile(name, data, 0o600))
	}
	if rotten == 0 {
		ts.Fatalf("no %s in %s", args[0], args[1])
	}
}

// patience bounds what waits for another process; nothing is decided by how long it takes. On a machine that does other things, too, builds that
// take seconds take minutes.
var patience = 4 * time.Minute

// await waits until a file matches a regular expression: await FILE REGEXP.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await FILE REGEXP")
	}
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		data, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && re.Match(data) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s never matched %s:\n%s", args[0], args[1], data)
		}
	}
}

// nothing fails if a pattern matches a file or directory: nothing PATTERN.
func nothing(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] nothing PATTERN")
	}
	found, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if (len(found) == 0) == neg {
		ts.Fatalf("%s matches %q", args[0], found)
	}
}

// networkKey and worldKey find the fake network and the fake registries of a script among its values.
type (
	networkKey struct{}
	worldKey   struct{}
)
