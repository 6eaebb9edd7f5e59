package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// axe returns the script that looks for what keeps people from using a page.
func axe(t *testing.T) string {
	t.Helper()
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("SKIPPED: axe-core needs npm: ", err)
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", ".npmrc"} {
		data, err := os.ReadFile(filepath.Join("axe", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	cmd := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--prefer-offline", "--fetch-retries=1", "--fetch-timeout=20000")
	cmd.Dir, cmd.WaitDelay = dir, time.Second
	if said, err := cmd.CombinedOutput(); err != nil {
		for _, code := range []string{"EINTEGRITY", "EUSAGE", "EJSONPARSE", "ETARGET"} { // these are about our files, all else is about the machine and its network
			if bytes.Contains(said, []byte(code)) {
				t.Fatalf("npm ci: %v\n%s", err, said)
			}
		}
		t.Skipf("SKIPPED: npm brings no packages here: %v\n%s", err, said)
	}
	script, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// TestLockOfAxeNamesNoRegistry keeps the place where somebody once ran npm install out of the lock file.
func TestLockOfAxeNamesNoRegistry(t *testing.T) {
	lock, err := os.ReadFile("axe/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(lock, []byte(`"resolved"`)) || !bytes.Contains(lock, []byte(`"integrity": "sha512-`)) {
		t.Error("axe/package-lock.json has resolved addresses, or no checksums")
	}
}

// finding is one of axe's.
type finding struct {
	ID, Impact, Help string
	Nodes            []struct {
		Target         []any
		FailureSummary string
	}
}

// Everybody can use the page: dark and light, wide and narrow, with the pane open, with mistakes, and in its dialogs.
func TestEverybodyCanUseThePage(t *testing.T) {
	script := axe(t)
	s := sample{3000, two}
	url, _ := s.page(t)
	b := newTab(t)
	check := func(where string) {
		t.Helper()
		b.settle()
		var found []finding
		b.do(chromedp.Evaluate(script+"; 1", nil), chromedp.ActionFunc(func(ctx context.Context) error {
			r, problem, err := runtime.Evaluate(`axe.run(document, { resultTypes: ["violations"] }).then(r => JSON.stringify(r.violations))`).WithAwaitPromise(true).WithReturnByValue(true).Do(ctx)
			if err != nil {
				return err
			}
			if problem != nil {
				return problem
			}
			var text string
			if err := json.Unmarshal(r.Value, &text); err != nil {
				return err
			}
			return json.Unmarshal([]byte(text), &found)
		}))
		for _, f := range found {
			if f.Impact == "serious" || f.Impact == "critical" {
				t.Errorf("%s: %s %s: %s\n%v\n%s", where, f.Impact, f.ID, f.Help, f.Nodes[0].Target, strings.TrimSpace(f.Nodes[0].FailureSummary))
			} else {
				t.Logf("%s: %s %s: %s", where, f.Impact, f.ID, f.Help)
			}
		}
	}
	b.open(url)
	for _, scheme := range []string{"light", "dark"} {
		b.look(scheme, 1440, 900)
		check(scheme)
		b.click(hook("row"))
		b.until("the pane is open", `document.querySelector("[data-test=detail] pre")`)
		check(scheme + ", pane")
		b.click(hook("close"))
		b.filter("clas:x time>>")
		check(scheme + ", mistakes")
		b.filter("")
		b.dialog("help")
		check(scheme + ", help")
		b.closeDialog()
		b.dialog("retry")
		check(scheme + ", retry list")
		b.closeDialog()
		b.look(scheme, 400, 800)
		check(scheme + ", narrow")
	}
}
