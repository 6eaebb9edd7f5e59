package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// chromium is the browser that all tests share.
var chromium context.Context

func TestMain(m *testing.M) {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		fmt.Println("SKIPPED: there is no Chromium: the page of the report is not tested (Debian: apt-get install chromium)")
		os.Exit(0)
	}
	os.Exit(run(m, path))
}

func run(m *testing.M, path string) int {
	profile, err := os.MkdirTemp("", "cbuild-browser-")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(profile)
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.NoSandbox, chromedp.WindowSize(1440, 900),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("enable-precise-memory-info", true), chromedp.Flag("force-prefers-reduced-motion", true),
		chromedp.Env("HOME="+profile, "XDG_CONFIG_HOME="+profile, "XDG_CACHE_HOME="+profile), // the user's own may be missing or read-only
		chromedp.WSURLReadTimeout(patience),
	)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	defer cancel()
	browser, stop := chromedp.NewContext(ctx)
	defer stop()
	if err := paints(browser); err != nil {
		fmt.Printf("SKIPPED: %s is there, but shows no page on this machine: the page of the report is not tested: %v\n", path, err)
		return 0
	}
	chromium = browser
	return m.Run()
}

// paints starts the browser, and reports what keeps it from painting an empty page: whatever that is, it is not about the report. A browser may
// start and be unable to, as one without the memory or the rights for its other processes.
func paints(browser context.Context) error {
	failed := make(chan error, 1)
	go func() {
		err := chromedp.Run(browser) // which must not be bounded: the browser would end with the bound
		if err == nil {
			err = chromedp.Run(browser, chromedp.Evaluate(`new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(1))))`, nil,
				func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
		}
		failed <- err
	}()
	select {
	case err := <-failed:
		return err
	case <-time.After(patience):
		return fmt.Errorf("nothing is painted after %v", patience)
	}
}

// A tab is a page in the browser. At its end it must have said nothing, asked nothing elsewhere and opened no dialog.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string // guarded by mu
}

// patience is how long anything waits for what must come, and lifetime how long a tab may be used. Both are there so that what hangs has a name: a slow
// machine may take many times what a fast one does.
const (
	patience = 2 * time.Minute
	lifetime = 8 * time.Minute
)

func newTab(t *testing.T, first ...chromedp.Action) *tab {
	t.Helper()
	// Each in a window of its own: what can't be seen is not painted.
	browser := chromedp.FromContext(chromium).Browser
	id, err := target.CreateTarget("about:blank").WithNewWindow(true).Do(cdp.WithExecutor(chromium, browser))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithTargetID(id))
	t.Cleanup(cancel)
	ctx, stop := context.WithTimeout(ctx, lifetime)
	t.Cleanup(stop)
	b := &tab{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, b.event)
	b.do(append([]chromedp.Action{network.Enable(), runtime.Enable()}, first...)...)
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, p := range b.problems {
			t.Error(p)
		}
	})
	return b
}

func (b *tab) event(e any) {
	switch e := e.(type) {
	case *runtime.EventExceptionThrown:
		b.problem("an exception: %s", e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		said := ""
		for _, a := range e.Args {
			said += " " + string(a.Value) + a.Description
		}
		b.problem("the page prints %s:%s", e.Type, said)
	case *page.EventJavascriptDialogOpening:
		b.problem("a dialog opens: %s", e.Message)
	case *network.EventRequestWillBeSent:
		for _, local := range []string{"file:", "data:", "blob:", "about:", "http://127.0.0.1:"} {
			if strings.HasPrefix(e.Request.URL, local) {
				return
			}
		}
		b.problem("the page asks for %s", e.Request.URL)
	}
}

func (b *tab) problem(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = append(b.problems, fmt.Sprintf(format, args...))
}

func (b *tab) do(actions ...chromedp.Action) {
	b.t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// open shows an address, and waits until the page is painted.
func (b *tab) open(url string) {
	b.t.Helper()
	b.do(chromedp.Navigate(url))
	b.until("the page is painted", `document.documentElement.dataset.ready === "1"`)
}

// eval returns the value of an expression in the page.
func eval[T any](b *tab, expression string) (v T) {
	b.t.Helper()
	if err := chromedp.Run(b.ctx, chromedp.Evaluate(expression, &v)); err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits until an expression holds.
func (b *tab) until(what, expression string) {
	b.t.Helper()
	for end := time.Now().Add(patience); !eval[bool](b, "Boolean("+expression+")"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			b.shoot("waited")
			b.t.Fatalf("waited in vain until %s: %s", what, expression)
		}
	}
}

// hook is the selector of an element that the page marks for tests.
func hook(name string) string { return `[data-test="` + name + `"]` }

// text returns what an element shows, in one line.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf(`(document.querySelector(%q)?.innerText ?? "(absent)").replace(/\s+/g, " ").trim()`, selector))
}

// texts returns what all elements of a selector show.
func (b *tab) texts(selector string) []string {
	b.t.Helper()
	return eval[[]string](b, fmt.Sprintf(`[...document.querySelectorAll(%q)].map(e => e.innerText.replace(/\s+/g, " ").trim())`, selector))
}

func (b *tab) click(selector string) {
	b.t.Helper()
	if !eval[bool](b, fmt.Sprintf(`(e => { e?.click(); return e != null })(document.querySelector(%q))`, selector)) {
		b.shoot("click")
		b.t.Fatalf("there is no %s to click", selector)
	}
}

// dialog opens a dialog, and closeDialog closes it. Both wait until the page has followed: it learns of a closed one by an event that comes later.
func (b *tab) dialog(button string) {
	b.t.Helper()
	b.click(hook(button))
	b.until("the dialog is open", `document.querySelector("dialog[open]")`)
}

func (b *tab) closeDialog() {
	b.t.Helper()
	b.do(chromedp.Evaluate(`document.querySelector("dialog").close()`, nil))
	b.until("the dialog is gone", `!document.querySelector("dialog")`)
}

// typing is a script that puts text into the filter as typing does.
func typing(query string) string {
	return fmt.Sprintf(`{ const f = document.querySelector("[data-test=filter]"); f.value = %q; f.dispatchEvent(new Event("input", { bubbles: true })) }`, query)
}

// filter types into the filter, and waits until the page has followed.
func (b *tab) filter(query string) {
	b.t.Helper()
	b.do(chromedp.Evaluate(typing(query), nil))
	b.until("the filter is in the address", fmt.Sprintf(`(new URLSearchParams(location.hash.slice(1)).get("q") ?? "").trim() === %q`, query))
	b.settle()
}

// settle waits for two frames.
func (b *tab) settle() {
	b.t.Helper()
	b.do(chromedp.ActionFunc(func(ctx context.Context) error {
		_, _, err := runtime.Evaluate(`new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(1))))`).WithAwaitPromise(true).Do(ctx)
		return err
	}))
}

// look sets the colour scheme and the size of the window.
func (b *tab) look(scheme string, width, height int64) {
	b.t.Helper()
	b.do(
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
		emulation.SetDeviceMetricsOverride(width, height, 1, width < 600),
	)
	b.settle()
}

// shoot keeps a picture of the page, if CBUILD_SHOTS names a directory for them.
func (b *tab) shoot(name string) {
	dir := os.Getenv("CBUILD_SHOTS")
	if dir == "" {
		return
	}
	var png []byte
	if err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot(&png)); err != nil {
		b.t.Logf("no picture %s: %v", name, err)
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
		b.t.Error(err)
	}
}
