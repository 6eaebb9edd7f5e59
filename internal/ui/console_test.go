package ui_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/creack/pty"
	"golang.org/x/term"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/engine"
	"cbuild/internal/clock"
	"cbuild/internal/ui"
	"cbuild/internal/ui/screen"
)

// terminal is a screen that remembers the most lines at once that say how much runs.
type terminal struct {
	*screen.Screen
	worst int
}

func (s *terminal) Write(p []byte) (int, error) {
	_, _ = s.Screen.Write(p)
	s.worst = max(s.worst, strings.Count(s.Text(), " running"))
	return len(p), nil
}

// step is an action that does what a function says.
type step struct {
	name string
	do   func(ctx context.Context) (*engine.Result, error)
}

func (s *step) Key() engine.Key {
	b := engine.NewKey("test", 1)
	b.String("name", s.name)
	return b.Sum()
}
func (s *step) Preimage() []byte { return nil }
func (s *step) Do(ctx context.Context, _ func(engine.Event)) (*engine.Result, error) {
	return s.do(ctx)
}

func items(keys ...string) func(context.Context, engine.View) iter.Seq2[engine.Item, error] {
	return func(context.Context, engine.View) iter.Seq2[engine.Item, error] {
		return func(yield func(engine.Item, error) bool) {
			for _, k := range keys {
				if !yield(engine.Item{Key: k}, nil) {
					return
				}
			}
		}
	}
}

// works returns a target whose instances take a time and then end as end says.
func works(rule, name string, took time.Duration, keys []string, end func(key string) (*engine.Result, error)) *engine.Target {
	return &engine.Target{
		Label: engine.Label{Name: name}, Rule: rule, Repeated: true, Items: items(keys...), Axes: []string{"go"},
		Matrix: func(context.Context, engine.View) ([]engine.Axis, error) {
			value := func(context.Context, string) (engine.Value, error) { return nil, nil }
			return []engine.Axis{{Name: "go", Keys: []string{"before", "after"}, Value: value}}, nil
		},
		Plan: func(_ context.Context, _ engine.View, i engine.Instance) (*engine.Plan, error) {
			return &engine.Plan{Pool: engine.CPUPool, Action: &step{i.Name(), func(ctx context.Context) (*engine.Result, error) {
				select {
				case <-time.After(took):
				case <-ctx.Done():
					return nil, ctx.Err()
				}
				return end(i.Key)
			}}}, nil
		},
	}
}

var hostile = []string{"plain", "日本語のとても長い名前がここにあります、端末の幅より広い", "esc\x1b[2J\x1b]0;title\a", "bidi\u202eevil\u2066", "line\nfeed\ttab\r", "c1\u009b31m", "\xff\xfe"}

func TestConsoleOnATerminal(t *testing.T) {
	for _, columns := range []int{40, 120, 7} {
		t.Run(fmt.Sprint(columns), func(t *testing.T) {
			master, slave, err := pty.Open()
			if err != nil {
				t.Skip("LOUD: no pseudo-terminal: ", err)
			}
			if err := pty.Setsize(slave, &pty.Winsize{Rows: 30, Cols: uint16(columns)}); err != nil {
				t.Fatal(err)
			}
			s := &terminal{Screen: screen.New(columns, 30)}
			var reading sync.WaitGroup
			reading.Go(func() { copyTo(s, master) })
			target := works("run", "work", 120*time.Millisecond, hostile, func(key string) (*engine.Result, error) {
				if key == "plain" {
					return &engine.Result{Status: engine.Fail, ExitCode: 3}, nil
				}
				return &engine.Result{}, nil
			})
			build(t, slave, true, target, works("run", "more", 100*time.Millisecond, hostile, func(string) (*engine.Result, error) {
				return nil, &engine.InvalidError{Err: errors.New("\x1b]8;;evil\a")}
			}))
			slave.Close()
			reading.Wait()
			master.Close()
			checkScreen(t, s, columns)
		})
	}
}

func copyTo(s io.Writer, master *os.File) {
	buf := make([]byte, 4096)
	for {
		n, err := master.Read(buf)
		_, _ = s.Write(buf[:n])
		if err != nil {
			return // EIO when nobody holds the other end any more
		}
	}
}

// build runs a build with a console on out.
func build(t *testing.T, out *os.File, live bool, targets ...*engine.Target) {
	t.Helper()
	console := ui.NewConsole(ui.ConsoleOptions{Out: out, Clock: clock.System, Live: live, Color: true, Size: func() (int, int) {
		w, h, err := term.GetSize(int(out.Fd()))
		if err != nil {
			t.Error(err)
		}
		return w, h
	}})
	b := engine.New(engine.Options{Targets: targets, Cache: castest.NewMemoryActionCache(), Observer: console, Jobs: 4, Window: 16})
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { console.Watch(ctx, b) })
	var wants []engine.Want
	for _, target := range targets {
		wants = append(wants, engine.Want{Label: target.Label})
	}
	if err := b.Run(t.Context(), wants); err != nil {
		t.Error(err)
	}
	cancel()
	watching.Wait()
}

// fraction is what only the lines in place hold.
var fraction = regexp.MustCompile(`\d/≥?\d`)

// checkScreen looks at what is left: the failures, each once, and nothing of the lines in place.
func checkScreen(t *testing.T, s *terminal, columns int) {
	t.Helper()
	shown := s.All()
	joined := strings.Join(strings.Fields(shown), "") // however it was wrapped
	for _, want := range []string{`fail (exit 3) run.work["plain"]["before"]`, `fail (exit 3) run.work["plain"]["after"]`, `invalid run.more["bidi\u202eevil\u2066"]["after"]`} {
		if strings.Count(joined, strings.Join(strings.Fields(want), "")) != 1 {
			t.Errorf("%q is shown %d times", want, strings.Count(joined, want))
		}
	}
	if strings.Contains(shown, "running") || fraction.MatchString(joined) {
		t.Errorf("the lines in place are left on the screen:\n%s", shown)
	}
	if s.worst > 1 {
		t.Errorf("%d lines said what runs at the same time", s.worst)
	}
	if columns > 20 && s.worst == 0 {
		t.Error("what runs was never shown")
	}
	for _, w := range s.Wrapped() {
		if strings.HasPrefix(w, " ") {
			t.Errorf("a line in place was too long: %q", w)
		}
	}
	if len(s.Unknown()) > 0 {
		t.Errorf("hostile text reached the terminal: %q", s.Unknown())
	}
}

// painted lets a console paint once, in virtual time, after observe has told it things.
func painted(t *testing.T, columns, lines int, observe func(*ui.Console)) (text string, raw []byte) {
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		console := ui.NewConsole(ui.ConsoleOptions{Out: &out, Clock: fixed{}, Live: true, Size: func() (int, int) { return columns, lines }})
		b := engine.New(engine.Options{Targets: []*engine.Target{single("run", "a")}, Cache: castest.NewMemoryActionCache()})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		observe(console)
		go console.Watch(ctx, b)
		time.Sleep(150 * time.Millisecond)
		synctest.Wait()
		raw = bytes.Clone(out.Bytes())
	})
	s := screen.New(max(columns, 1), lines)
	_, _ = s.Write(raw)
	return s.Text(), raw
}

// TestWhatRuns starts and ends everything that has a name: nothing may stay in the list.
func TestWhatRuns(t *testing.T) {
	run := repeated("run", "r", "go")
	started := func(c *ui.Console, target *engine.Target, name string) {
		c.Observe(engine.Event{Type: engine.EventStarted, Target: target, Text: name})
	}
	finished := func(c *ui.Console, target *engine.Target, keys ...string) {
		c.Observe(engine.Event{Type: engine.EventFinished, Target: target, Instance: keys, Outcome: &engine.Outcome{Result: &engine.Result{}}})
	}
	text, _ := painted(t, 200, 24, func(c *ui.Console) {
		for _, key := range append(hostile, "") {
			started(c, run, engine.Instance{Target: run, Key: key, Axes: []string{"after"}}.Name())
			finished(c, run, key, "after")
		}
		axes := single("run", "only-axes")
		started(c, axes, engine.Instance{Target: axes, Axes: []string{"x", "y"}}.Name())
		finished(c, axes, "x", "y")
		started(c, single("run", "s"), "run.s")
		finished(c, single("run", "s"))
		q := single("query", "q")
		started(c, q, "example.com/m")
		c.Observe(engine.Event{Type: engine.EventProgress, Target: q, Text: "example.com/m", Done: 1, Total: 1})
		started(c, run, "backs off")
		c.Observe(engine.Event{Type: engine.EventProgress, Target: run, Text: "backs off: 503", Attempt: 1, After: time.Second})
		c.Observe(engine.Event{Type: engine.EventProgress, Target: run, Text: `run.r["there"]["after"]`, Waiting: "host 7", Took: time.Second})
		finished(c, run, "there", "after")
		c.Observe(engine.Event{Type: engine.EventProgress, Target: run, Text: `run.r["own"]["after"]`, Waiting: "host 7", Took: time.Second})
		started(c, run, `run.r["own"]["after"]`)
		finished(c, run, "own", "after")
		c.Observe(engine.Event{Type: engine.EventProgress, Target: run, Text: "elsewhere", Waiting: "host 7", Took: 41 * time.Second})
		started(c, run, "goes on")
	})
	if want := "retry backs off: 503 (attempt 2, in 1s)\n waiting for host 7, 00:41: elsewhere\n 0.0s, 1 running\n   0.0s  goes on"; text != want {
		t.Errorf("shown:\n%s\nwant\n%s", text, want)
	}
}

// TestNamesOfTheEngine compares the names under which the engine starts things with those under which it ends them.
func TestNamesOfTheEngine(t *testing.T) {
	running := make(map[string]bool)
	var mu sync.Mutex
	pass := func(string) (*engine.Result, error) { return &engine.Result{}, nil }
	query := &engine.Target{Label: engine.Label{Name: "q"}, Rule: "query", Repeated: true, Query: func(ctx context.Context, v engine.View) iter.Seq2[engine.Item, error] {
		return func(yield func(engine.Item, error) bool) {
			for _, page := range []string{"page 1", "page 2"} {
				o := v.Perform(ctx, page, &engine.Plan{Pool: engine.NetPool, Action: &step{page, func(context.Context) (*engine.Result, error) { return pass("") }}})
				if o.Err != nil || !yield(engine.Item{Key: page}, nil) {
					return
				}
			}
		}
	}}
	work := works("run", "work", time.Millisecond, hostile, pass)
	plain := &engine.Target{Label: engine.Label{Name: "plain"}, Rule: "run", Plan: func(_ context.Context, _ engine.View, i engine.Instance) (*engine.Plan, error) {
		return &engine.Plan{Action: &step{"plain", func(context.Context) (*engine.Result, error) { return pass("") }}}, nil
	}}
	seen := 0
	b := engine.New(engine.Options{Targets: []*engine.Target{query, work, plain}, Cache: castest.NewMemoryActionCache(), Jobs: 4, Window: 4, Observer: observer(func(e engine.Event) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case e.Type == engine.EventStarted:
			running[e.Text] = true
			seen++
		case e.Type == engine.EventProgress && e.Attempt == 0:
			delete(running, e.Text)
		case e.Type == engine.EventFinished && e.Target.Repeated && len(e.Instance) > 0:
			delete(running, e.Target.InstanceName(e.Instance[0], e.Instance[1:]))
		case e.Type == engine.EventFinished:
			delete(running, e.Target.InstanceName("", e.Instance))
		}
	})})
	if err := b.Run(t.Context(), []engine.Want{{Label: query.Label}, {Label: work.Label}, {Label: plain.Label}}); err != nil {
		t.Fatal(err)
	}
	if len(running) > 0 || seen != 2+2*len(hostile)+1 {
		t.Errorf("of %d that were started, these never ended: %v", seen, running)
	}
}

type observer func(engine.Event)

func (o observer) Observe(e engine.Event) { o(e) }

// painting takes away what clears the rests of lines and of the screen.
var painting = strings.NewReplacer("\r", "", "\x1b[K", "", "\x1b[J", "")

func TestPaintFitsTheTerminal(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {1, 2}, {2, 3}, {10, 2}, {17, 24}, {40, 24}, {80, 1}, {300, 50}} {
		_, raw := painted(t, size[0], size[1], func(c *ui.Console) {
			for _, name := range hostile {
				c.Observe(engine.Event{Type: engine.EventStarted, Target: single("run", "a"), Text: name})
			}
		})
		lines := strings.Split(painting.Replace(string(raw)), "\n")
		if len(lines) > max(size[1], 1) {
			t.Errorf("%v: %d lines are painted", size, len(lines)-1)
		}
		for _, l := range lines {
			if w := ansi.StringWidth(l); w >= max(size[0], 2) || strings.ContainsAny(l, "\t\r\x1b\a") {
				t.Errorf("%v: %d wide: %q", size, w, l)
			}
		}
	}
}

func TestPlainConsole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log, store := cas.Of([]byte("log")), map[cas.Digest]string{}
		lines := []string{"\x1b[31mred\x1b[0m", "tab\there", "\u202ebidi", "zero\u200bwidth", "\u2028separator"}
		for i := range 30 {
			lines = append(lines, fmt.Sprint("line ", i))
		}
		store[log] = strings.Join(lines, "\n") + "\n\n"
		console := ui.NewConsole(ui.ConsoleOptions{Out: &out, Clock: fixed{}, Log: func(o *engine.Outcome) []byte { return []byte(store[o.Result.Log]) }})
		b := engine.New(engine.Options{Observer: console, Cache: castest.NewMemoryActionCache(), Jobs: 1, Window: 8, Targets: []*engine.Target{
			works("run", "slow", 4*time.Second, []string{"k1", "k2", "k3"}, func(key string) (*engine.Result, error) {
				if key == "k2" {
					return &engine.Result{Status: engine.Fail, ExitCode: 1, Log: log, Facts: map[string]string{"missing": "o\x1b[2J"}}, nil
				}
				return &engine.Result{}, nil
			}),
		}})
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() { console.Watch(ctx, b) })
		if err := b.Run(t.Context(), []engine.Want{{Label: engine.Label{Name: "slow"}}}); err != nil {
			t.Fatal(err)
		}
		cancel()
		watching.Wait()
		got := out.String()
		if strings.ContainsAny(got, "\x1b\r\a") {
			t.Errorf("not plain: %q", got)
		}
		if n := strings.Count(got, "slow "); n != 2 {
			t.Errorf("%d summaries in 24 s: %s", n, got)
		}
		if n := strings.Count(got, "fail (exit 1): it did not make o"); n != 2 {
			t.Errorf("%d failures: %s", n, got)
		}
		if strings.Contains(got, "line 9\n") || !strings.Contains(got, "  │ line 10\n") || !strings.Contains(got, "  │ line 29\n") || strings.Contains(got, "│ \n") {
			t.Errorf("not the last 20 lines: %s", got)
		}
		if !strings.Contains(got, "  │ … 15 lines before: cbuild log '//:slow[k2][before]'\n") {
			t.Errorf("it is not told where the others are: %s", got)
		}
	})
}

func TestHostileTextIsShownAsText(t *testing.T) {
	var out bytes.Buffer
	c := ui.NewConsole(ui.ConsoleOptions{Out: &out, Clock: fixed{}})
	for _, bad := range []string{"\x1b", "\a", "\r", "\b", "\x7f", "\u009b", "\u202e", "\u2066", "\u200f", "\u061c", "\u200b", "\u2028", "\u2029", "\ufeff", "\u00ad", "\U000e0041", "\ufdd0", "\x00", "\xff"} {
		out.Reset()
		c.Note("warning", "a"+bad+"b")
		if got := out.String(); got != "Warning: a\uFFFDb\n" && got != "" {
			t.Errorf("%q is shown as %q", bad, got)
		}
	}
	out.Reset()
	c.Note("", "日本語 é 👍")
	if got := out.String(); got != "日本語 é 👍\n" {
		t.Errorf("got %q", got)
	}
}

func TestFailuresAreShownOnce(t *testing.T) {
	var out bytes.Buffer
	c := ui.NewConsole(ui.ConsoleOptions{Out: &out, Clock: fixed{}})
	fail := func(i int, o *engine.Outcome) {
		c.Observe(engine.Event{Type: engine.EventFinished, Target: repeated("run", "r"), Instance: []string{fmt.Sprint(i)}, Outcome: o, Why: "why"})
	}
	failed := &engine.Result{Status: engine.Fail, ExitCode: 2}
	for _, o := range []*engine.Outcome{
		{Result: &engine.Result{}},
		{Err: engine.ErrCancelled},
		{Err: &engine.SkippedError{Cause: "x"}},
		{Result: failed, Cached: engine.CachedLocal},
		{Result: failed, Notes: map[string]string{"allowed": "yes"}},
	} {
		fail(0, o)
	}
	if out.Len() > 0 {
		t.Errorf("shown: %s", out.String())
	}
	for range 2 {
		fail(1, &engine.Outcome{Result: failed})
		fail(2, &engine.Outcome{Err: errors.New("trouble")})
	}
	if got, want := out.String(), "fail (exit 2) run.r[\"1\"]\nerror run.r[\"2\"]: why\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for i := range 200 {
		fail(10+i, &engine.Outcome{Result: failed})
	}
	if n := strings.Count(out.String(), "\n"); n > 60 {
		t.Errorf("%d lines for 202 failures", n)
	}
	if !strings.Contains(out.String(), "further failures") {
		t.Error("it is not told that there are more")
	}
}

// TestTimeLeft looks at the estimate of a build in which ten rows are stored and ten are done, two at a time, each in a second.
func TestTimeLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var keys []string
		for i := range 20 {
			keys = append(keys, fmt.Sprintf("k%02d", i))
		}
		var out bytes.Buffer
		var mu sync.Mutex
		cache := castest.NewMemoryActionCache()
		pass := func(string) (*engine.Result, error) { return &engine.Result{}, nil }
		build := func(keys []string, live bool) {
			console := ui.NewConsole(ui.ConsoleOptions{
				Out: &locked{&mu, &out}, Clock: clock.System, Live: live, Quiet: !live, Size: func() (int, int) { return 100, 24 },
			})
			target := works("run", "work", time.Second, keys, pass)
			target.Axes, target.Matrix = nil, nil
			b := engine.New(engine.Options{Targets: []*engine.Target{target}, Cache: cache, Observer: console, Jobs: 2, Window: 64})
			ctx, cancel := context.WithCancel(t.Context())
			var watching sync.WaitGroup
			watching.Go(func() { console.Watch(ctx, b) })
			if err := b.Run(t.Context(), []engine.Want{{Label: target.Label}}); err != nil {
				t.Error(err)
			}
			cancel()
			watching.Wait()
		}
		build(keys[:10], false)
		var building sync.WaitGroup
		building.Go(func() { build(keys, true) })
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		mu.Lock()
		early := out.String()
		mu.Unlock()
		if !strings.Contains(early, "10/20") || strings.Contains(early, "left") {
			t.Errorf("before anything was done: %q", early)
		}
		time.Sleep(1650 * time.Millisecond)
		synctest.Wait()
		mu.Lock()
		later := out.String()[len(early):]
		mu.Unlock()
		if last := later[max(0, strings.LastIndex(later, "14/20")):]; !strings.Contains(last, "about 3s left, 2 running") {
			t.Errorf("when 6 are left, two at a time: %q", last)
		}
		building.Wait()
		if lines := strings.Count(early+later, "running"); lines > 22 {
			t.Errorf("painted %d times in 2.15 s", lines)
		}
	})
}

// There is no estimate where there could be no honest one: while a query goes on, and while a target waits of which nothing was done.
func TestNoTimeLeft(t *testing.T) {
	for name, targets := range map[string][]*engine.Target{
		"a stream is open":        {onBehalf("q", numbered(30)...), simple("work", numbered(40), 0, lasting(time.Second))},
		"a target has no pace":    {simple("work", numbered(40), 0, lasting(time.Second)), after("next", simple("work", numbered(40), 0, lasting(time.Second)))},
		"nothing was done so far": {simple("work", numbered(4), 0, lasting(time.Minute))},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := screen.New(80, 24)
				onScreen(t, s, func(*ui.Console) {
					for range 5 {
						time.Sleep(1550 * time.Millisecond)
						synctest.Wait()
						if text := s.Text(); strings.Contains(text, "left") || !strings.Contains(text, "running") {
							t.Errorf("shown:\n%s", text)
						}
					}
				}, targets...)
			})
		})
	}
}

// after is a single target that needs all of another.
func after(name string, other *engine.Target) *engine.Target {
	return &engine.Target{
		Label: engine.Label{Name: name}, Rule: "run", Needs: []engine.Need{{Label: other.Label}},
		Plan: func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
			for _, err := range v.Whole(ctx, other.Label) {
				if err != nil {
					return nil, err
				}
			}
			return &engine.Plan{Pool: engine.CPUPool, Action: &step{i.Name(), func(ctx context.Context) (*engine.Result, error) {
				return lasting(2*time.Second)(ctx, "")
			}}}, nil
		},
	}
}

// Without a terminal there is a summary each ten seconds, if something happened, and once a minute if nothing did.
func TestPlainSummaries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var begun atomic.Int64
		console := ui.NewConsole(ui.ConsoleOptions{Out: &out, Clock: clock.System, Hosts: func() []string { return []string{"host x: paused"} }})
		work := simple("work", []string{"a", "b", "c"}, 0, func(ctx context.Context, _ string) (*engine.Result, error) {
			return lasting(time.Duration(begun.Add(1)*begun.Load()*begun.Load())*7*time.Second)(ctx, "")
		})
		b := engine.New(engine.Options{Targets: []*engine.Target{work, after("sum", work)}, Cache: castest.NewMemoryActionCache(), Observer: console, Jobs: 1, Window: 8})
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() { console.Watch(ctx, b) })
		if err := b.Run(t.Context(), []engine.Want{{Label: engine.Label{Name: "sum"}}}); err != nil {
			t.Fatal(err)
		}
		cancel()
		watching.Wait()
		ui.Golden(t, "plain.txt", regexp.MustCompile(`\["[abc]"\]`).ReplaceAllString(out.String(), "[…]"))
	})
}

// Thousands of retries are not thousands of lines, unless somebody asks for all of them.
func TestRetriesAreBounded(t *testing.T) {
	for verbose, want := range map[int]int{0: 51, 1: 200} {
		var out bytes.Buffer
		c := ui.NewConsole(ui.ConsoleOptions{Out: &out, Clock: fixed{}, Verbose: verbose})
		for i := range 200 {
			c.Observe(engine.Event{Type: engine.EventProgress, Target: single("fetch", "f"), Text: fmt.Sprintf("fetch.f[%d]: 503", i), Attempt: 1, After: time.Second})
		}
		if n := strings.Count(out.String(), "\n"); n != want {
			t.Errorf("verbose %d: %d lines, want %d", verbose, n, want)
		}
	}
}

// locked is a writer that is read at the same time.
type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
