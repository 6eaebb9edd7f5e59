package browser

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
)

// gated has a comparison of which each side waits for a file.
const gated = `
variable "home" {}

run "try" {
  for_each = ["serde", "tokio", "regex", "log", "rayon", "clap"]
  matrix   = { rustc = ["stable", "beta"] }

  env           = { HERE = var.home, NAME = each.key, SIDE = matrix.rustc }
  script        = "until test -e $HERE/open-$NAME; do sleep 0.05; done; echo \"error: broken <b>$NAME</b>\"; test $NAME.$SIDE != tokio.beta"
  allow_failure = true
}

collate "report" {
  title   = "Does beta break it?"
  rows    = run.try
  compare = ["stable", "beta"]
}
`

// A workspace has the command, a store and a state of its own.
type workspace struct {
	t                 *testing.T
	dir, home, binary string
}

func newWorkspace(t *testing.T, file string) *workspace {
	t.Helper()
	home := t.TempDir()
	w := &workspace{t: t, dir: filepath.Join(home, "ws"), home: home, binary: filepath.Join(home, "cbuild")}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", w.binary, "./cmd/cbuild")
	build.Dir = "../.."
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	err := os.Mkdir(w.dir, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(w.dir, "BUILD.hcl"), []byte(file), 0o600)
	}
	if err == nil {
		err = os.Chmod(home, 0o755) //nolint:gosec // runs look into it
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// command makes a call of cbuild. Whatever it starts is ended with the test.
func (w *workspace) command(args ...string) *exec.Cmd {
	cmd := exec.Command(w.binary, args...) //nolint:noctx // ended below
	cmd.Dir, cmd.Stderr = w.dir, os.Stderr
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.home, "CBUILD_SANDBOX=none"}
	w.t.Cleanup(func() {
		if cmd.Process != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd
}

func (w *workspace) open(name string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.home, "open-"+name), nil, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// The page shows a build while it runs, stays when it is killed, and goes on with the next one: what was picked stays picked.
func TestLiveView(t *testing.T) {
	w := newWorkspace(t, gated)
	serve := w.command("serve")
	out, err := serve.StdoutPipe()
	if err == nil {
		err = serve.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-j12", "--sandbox", "none", "-s", "home=" + w.home, "report"}
	build := w.command(args...)
	if err := build.Start(); err != nil {
		t.Fatal(err)
	}
	b := newTab(t)
	b.look("dark", 1440, 900)
	w.open("serde")
	w.open("tokio")
	b.open(strings.TrimSpace(address) + "live/")
	rows := func(n int) string {
		return fmt.Sprintf(`parseInt(document.querySelector("[data-test=count]")?.innerText) === %d`, n)
	}
	b.until("two rows are shown", rows(2))
	banner := b.text(hook("banner"))
	if !strings.Contains(banner, "Running") || !strings.Contains(banner, "4 of 12") && !strings.Contains(banner, "run.try") {
		t.Errorf("the banner says %q", banner)
	}
	if n := number(t, b.text(class("regressed"))); n != 1 {
		t.Errorf("%d regressed while it runs", n)
	}
	b.shoot("live")
	b.click(hook("row") + `[data-key="tokio"]`)
	b.until("the log is shown", `document.querySelector("[data-test=detail]")?.textContent.includes("broken <b>tokio</b>")`)
	b.until("there is a link to the full log", `document.querySelector('[data-test=detail] a[href*="log/"]')`)
	link := eval[string](b, `document.querySelector('[data-test=detail] a[href*="log/"]').href`)
	if err := build.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = build.Wait()
	b.until("it is said to be over", `document.querySelector("[data-test=banner]")?.innerText.includes("killed")`)
	b.shoot("killed")
	build = w.command(args...)
	if err := build.Start(); err != nil {
		t.Fatal(err)
	}
	b.until("it runs again", `document.querySelector("[data-test=banner]")?.innerText.includes("Running")`)
	for _, name := range []string{"regex", "log", "rayon", "clap"} {
		w.open(name)
	}
	if err := build.Wait(); err != nil {
		t.Fatal(err)
	}
	b.until("it is said to have passed", `document.querySelector("[data-test=banner]")?.innerText.includes("pass")`)
	b.until("all rows are shown", rows(6))
	if n := number(t, b.text(class("regressed"))); n != 1 {
		t.Errorf("%d regressed in the end", n)
	}
	if !eval[bool](b, `document.querySelector("[data-test=detail]")?.textContent.includes("tokio") ?? false`) {
		t.Error("the pane has lost its row")
	}
	log := eval[string](b, fmt.Sprintf(`(() => { const r = new XMLHttpRequest(); r.open("GET", %q, false); r.send(); return r.responseText })()`, link))
	if log != "error: broken <b>tokio</b>\n" {
		t.Errorf("behind the link stands %q", log)
	}
	// The list of builds, and the report as it was made.
	list := newTab(t)
	list.do(chromedp.Navigate(strings.TrimSpace(address)))
	list.shoot("builds")
	report := eval[string](list, `[...document.querySelectorAll("a")].find(a => a.innerText === "//:report").href`)
	b.open(report)
	if n := number(t, b.text(class("all"))); n != 6 {
		t.Errorf("the report of the past build has %d rows", n)
	}
}
