package ui_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cbuild/cas/castest"
	"cbuild/engine"
	"cbuild/internal/clock"
	"cbuild/internal/ui"
	"cbuild/internal/ui/screen"
)

// onScreen runs a build of targets in virtual time, with a console on a screen, and calls meanwhile beside it.
func onScreen(t *testing.T, s *screen.Screen, meanwhile func(*ui.Console), targets ...*engine.Target) {
	t.Helper()
	console := ui.NewConsole(ui.ConsoleOptions{Out: s, Clock: clock.System, Live: true, Size: s.Size, Rewraps: s.Rewraps})
	b := engine.New(engine.Options{Targets: targets, Cache: castest.NewMemoryActionCache(), Observer: console, Jobs: 4, Window: 64})
	ctx, cancel := context.WithCancel(t.Context())
	var watching, building sync.WaitGroup
	watching.Go(func() { console.Watch(ctx, b) })
	building.Go(func() {
		var wants []engine.Want
		for _, target := range targets {
			wants = append(wants, engine.Want{Label: target.Label})
		}
		if err := b.Run(t.Context(), wants); err != nil {
			t.Error(err)
		}
		cancel()
	})
	meanwhile(console)
	building.Wait()
	watching.Wait()
}

// numbered returns n keys.
func numbered(n int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprintf("k%03d", i))
	}
	return keys
}

// failsAt is a target with n instances of a second each. Of ten that begin one is invalid.
func failsAt(name string, n int) *engine.Target {
	var begun atomic.Int64
	return simple(name, numbered(n), 0, func(_ context.Context, key string) (*engine.Result, error) {
		number := begun.Add(1)
		time.Sleep(time.Second)
		if number%10 == 7 {
			return nil, &engine.InvalidError{Err: errors.New("no good")}
		}
		return &engine.Result{}, nil
	})
}

// clockLine is the line in place that is always there.
var clockLine = regexp.MustCompile(`(?m)^ \d+\.\d(s|…)`)

// Whenever the terminal gets another size, the lines in place are those of one painting, what stood above them is there, and in the end nothing of them
// is left. On terminals that cut lines it is not otherwise.
func TestResizing(t *testing.T) {
	for _, rewraps := range []bool{true, false} {
		for seed := range uint64(4) {
			t.Run(fmt.Sprint(rewraps, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := rand.New(rand.NewPCG(seed, 5))
					s := screen.New(100, 60)
					s.Rewraps = rewraps
					meanwhile := func(*ui.Console) {
						time.Sleep(1040 * time.Millisecond)
						for range 40 {
							s.Resize(30+r.IntN(80), 50+r.IntN(10))
							time.Sleep(300 * time.Millisecond)
							synctest.Wait()
							if n := len(clockLine.FindAllString(s.All(), -1)); n != 1 {
								t.Errorf("%d lines say how long it took:\n%s", n, s.All())
								return
							}
						}
					}
					onScreen(t, s, meanwhile, failsAt("work", 60), works("run", "another-target-with-a-long-name", time.Second, numbered(20), func(string) (*engine.Result, error) {
						return &engine.Result{}, nil
					}))
					checkLeft(t, s, 6)
				})
			})
		}
	}
}

// checkLeft looks at what is left of a build with a console: failures, each in a line, and the cursor below them.
func checkLeft(t *testing.T, s *screen.Screen, failures int) {
	t.Helper()
	lines := strings.Split(s.All(), "\n")
	for _, l := range lines {
		if !strings.HasPrefix(l, "invalid run.work[") {
			t.Errorf("%q is left", l)
		}
	}
	if len(lines) != failures {
		t.Errorf("%d failures:\n%s", len(lines), s.All())
	}
	if x, y := s.Cursor(); x != 0 || y < min(failures, 40) {
		t.Errorf("the cursor is at %d %d", x, y)
	}
	if u := s.Unknown(); len(u) > 0 {
		t.Errorf("the terminal is told %q", u)
	}
}

// A narrow terminal wraps what was painted in a wide one so often that it no longer fits: what is visible is right all the same. What has scrolled
// away nobody can clear.
func TestResizingBeyondTheScreen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := screen.New(200, 12)
		meanwhile := func(*ui.Console) {
			for _, size := range [][2]int{{60, 12}, {20, 12}, {7, 12}, {6, 12}, {6, 1}} {
				time.Sleep(340 * time.Millisecond)
				s.Resize(size[0], size[1])
				time.Sleep(300 * time.Millisecond)
				synctest.Wait()
				if n := len(clockLine.FindAllString(s.Text(), -1)); n > 1 || size[1] > 1 && n == 0 {
					t.Errorf("%v: %d lines say how long it took:\n%s", size, n, s.Text())
				}
			}
		}
		onScreen(t, s, meanwhile, failsAt("work", 40))
		if clockLine.MatchString(s.Text()) {
			t.Errorf("left:\n%s", s.Text())
		}
	})
}

// The screens of a small build, one after the other: it begins, something fails and scrolls away above, it ends.
func TestScreensOfABuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := screen.New(60, 14)
		work := failsAt("work", 24)
		var b strings.Builder
		meanwhile := func(*ui.Console) {
			time.Sleep(550 * time.Millisecond) // never when something ends and is painted at the same time
			for i := range 8 {
				synctest.Wait()
				fmt.Fprintf(&b, "== screen %d\n%s\n", i+1, numberless.ReplaceAllString(s.Text(), "[…]"))
				time.Sleep(time.Second)
			}
		}
		onScreen(t, s, meanwhile, work, after("sum", work))
		fmt.Fprintf(&b, "== at the end\n%s\n", numberless.ReplaceAllString(s.Text(), "[…]"))
		ui.Golden(t, "screens.txt", b.String())
	})
}

// What is typed is shown by the terminal, also Ctrl-C: it goes with the lines in place.
func TestWhatIsTypedIsNotLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := screen.New(60, 14)
		onScreen(t, s, func(c *ui.Console) {
			time.Sleep(450 * time.Millisecond)
			_, _ = io.WriteString(s, "^C")
			c.Note("", "Stopping.")
			synctest.Wait()
			if got := s.Text(); !strings.HasPrefix(got, "Stopping.\n") || strings.Count(got, "running") != 1 || strings.Contains(got, "^C") {
				t.Errorf("shown:\n%s", got)
			}
			_, _ = io.WriteString(s, "^C")
		}, failsAt("work", 5))
		if got := s.All(); got != "Stopping." {
			t.Errorf("left:\n%s", got)
		}
	})
}

// Who is resumed finds the terminal written on by others, and leaves that alone.
func TestResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := screen.New(60, 24)
		onScreen(t, s, func(c *ui.Console) {
			time.Sleep(450 * time.Millisecond)
			synctest.Wait()
			_, _ = io.WriteString(s, "\n[1]+ Stopped\n$ fg\n")
			c.Resumed()
		}, failsAt("work", 5))
		if got := s.All(); !strings.Contains(got, "[1]+ Stopped\n$ fg") {
			t.Errorf("what the shell wrote is gone:\n%s", got)
		}
	})
}

// numberless takes the keys away, because it is not said which of several instances is first.
var numberless = regexp.MustCompile(`\["k\d+"\]`)
