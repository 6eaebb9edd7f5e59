package browser

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"cbuild/rules/report"
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

// snapshot returns the data of a page with the rows of s.
func (s sample) snapshot(t *testing.T) []byte {
	t.Helper()
	shot := report.NewSnapshot(report.PageOptions{Build: s.build})
	if err := report.Render(s.head(), s.rows(), shot); err != nil {
		t.Fatal(err)
	}
	return shot.Pack
}

// The last that is told of a build may come while older data are on their way: the page asks once more, since nothing tells it again.
func TestLiveViewSeesTheLastRows(t *testing.T) {
	older, last := sample{10, two}.snapshot(t), sample{20, two}.snapshot(t)
	var asked atomic.Int64
	over, late, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/live/{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, report.LivePage("t")) })
	mux.HandleFunc("/live/events", func(w http.ResponseWriter, r *http.Request) {
		tell := func(outcome string, rows, generation int) {
			_, _ = fmt.Fprintf(w, "event: build\ndata: {\"outcome\":%q,\"report\":{\"rows\":%d,\"generation\":%d}}\n\n", outcome, rows, generation)
			_ = http.NewResponseController(w).Flush()
		}
		w.Header().Set("Content-Type", "text/event-stream")
		tell("running", 10, 1)
		select {
		case <-over:
			tell("pass", 20, 2)
			<-done
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/live/pack", func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 2 {
			_, _ = w.Write(last)
			return
		}
		select { // the page asks at its start, and when it is told
		case <-late:
		case <-r.Context().Done():
		}
		_, _ = w.Write(older)
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	b := newTab(t)
	defer close(done)
	b.do(chromedp.Navigate(srv.URL + "/live/"))
	for end := time.Now().Add(patience); asked.Load() < 1; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the page does not ask")
		}
	}
	close(over)
	b.until("the page knows that the build has ended", `document.querySelector("[data-test=banner]")?.innerText.includes("pass")`)
	close(late)
	b.until("the last rows are shown", `parseInt(document.querySelector("[data-test=count]")?.innerText) === 20`)
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
