package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cbuild/engine"
)

// pids reads process ids that a script wrote to a file, which is outside of the run's directory.
func pids(t *testing.T, path string) []int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) == 0 {
		t.Fatal("the script has named no process")
	}
	var all []int
	for _, f := range strings.Fields(string(data)) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, pid)
	}
	return all
}

// ended checks that none of the processes is left, but for zombies that nobody has reaped yet.
func ended(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
			stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
			if err != nil && syscall.Kill(pid, 0) != nil || strings.Contains(string(stat), ") Z ") {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("process %d is still there: %s", pid, stat)
				syscall.Kill(pid, syscall.SIGKILL)
				break
			}
		}
	}
}

func TestTimeoutEndsTheWholeGroup(t *testing.T) {
	noneOnly(t)
	for name, script := range map[string]string{
		"ends on TERM":           "sleep 10000 & echo $! $$ > $P; wait",
		"children ignore TERM":   `(trap "" TERM; sleep 10000; sleep 10000) & echo $! $$ > $P; wait`,
		"ignores TERM":           `trap "" TERM; sleep 10000 & echo $! $$ > $P; wait; sleep 10000`,
		"stopped children":       "sleep 10000 & kill -STOP $!; echo $! $$ > $P; wait",
		"stopped itself":         "echo $$ > $P; kill -STOP $$; sleep 10000",
		"stops itself and again": `trap "kill -STOP $$; kill -STOP $$" CONT TERM; echo $$ > $P; while :; do sleep 0.1; done`,
		"many":                   "for i in 1 2 3 4 5 6 7 8; do (sleep 10000 & sleep 10000 & wait) & echo $! >> $P; done; wait",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			list := filepath.Join(t.TempDir(), "pids")
			c := outs(sh("echo partial > o; "+script), "o")
			c.Env = append([]string{"P=" + list}, baseEnv...)
			r := w.inTime(c, 500*time.Millisecond, func(*engine.Result) bool { return named(list) })
			if r.Status != engine.Timeout || len(r.Outs) != 1 || !strings.Contains(w.read(r.Log), fmt.Sprintf("timeout of %v", c.Timeout)) {
				t.Errorf("%v, outs %v: %s", r.Status, r.Outs, w.read(r.Log))
			}
			ended(t, pids(t, list))
		})
	}
}

// named reports whether a script has written the numbers of processes to a file.
func named(list string) bool {
	data, _ := os.ReadFile(list)
	return bytes.HasSuffix(data, []byte("\n"))
}

// waitFor waits until something holds.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("waited in vain for %s", what)
			return
		}
	}
}

// TestExitOnTERMIsATimeout has a command that ends in order when it is told to.
func TestExitOnTERMIsATimeout(t *testing.T) {
	w := newWorld(t)
	c := sh(`trap "echo bye; exit 0" TERM; sleep 10000 & wait`)
	r := w.inTime(c, 300*time.Millisecond, func(r *engine.Result) bool { return strings.Contains(w.read(r.Log), "bye") })
	if r.Status != engine.Timeout || !strings.Contains(w.read(r.Log), "bye") {
		t.Errorf("%v: %s", r.Status, w.read(r.Log))
	}
}

// noneOnly skips a test of processes that are known by their numbers, which mean nothing outside of a box. TestNothingOutlivesItsCommand
// is the like for class full.
func noneOnly(t *testing.T) {
	t.Helper()
	if classFull {
		t.Skip("SKIPPED: class none only, see TestNothingOutlivesItsCommand")
	}
}

// TestEndJustBeforeTheTimeout has commands that end by themselves, but whose last output is waited for until the limit has passed.
func TestEndJustBeforeTheTimeout(t *testing.T) {
	noneOnly(t)
	w := newWorld(t)
	for _, test := range []struct {
		end    string
		status engine.Status
	}{{"exit 0", engine.Pass}, {"exit 1", engine.Fail}, {"kill -KILL $$", engine.Crash}} {
		list := filepath.Join(t.TempDir(), "pids")
		c := sh("setsid sleep 1000 & echo $! > $P; sleep 0.85; " + test.end)
		c.Env = append([]string{"P=" + list}, baseEnv...)
		c.Timeout = time.Second
		r := w.run(c)
		for end := time.Now().Add(2 * time.Minute); r.Status == engine.Timeout && time.Now().Before(end); { // on a busy machine it may really be late
			r = w.run(c)
		}
		if r.Status != test.status {
			t.Errorf("%s: %v", test.end, r.Status)
		}
		for _, pid := range pids(t, list) {
			syscall.Kill(-pid, syscall.SIGKILL)
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func TestBackgroundProcesses(t *testing.T) {
	noneOnly(t)
	w := newWorld(t)
	list := filepath.Join(t.TempDir(), "pids")
	c := sh("sleep 1000 & echo $! > $P; echo done")
	c.Env = append([]string{"P=" + list}, baseEnv...)
	r := w.run(c)
	if r.Status != engine.Pass || w.read(r.Stdout) != "done\n" {
		t.Errorf("%v %q", r.Status, w.read(r.Stdout))
	}
	ended(t, pids(t, list))
}

// TestStraysEnd has commands whose children leave the group in every way that a shell knows. When the command has ended they have, too.
func TestStraysEnd(t *testing.T) {
	noneOnly(t)
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: only Linux says whose child a process is")
	}
	for name, script := range map[string]string{
		"keeps everything":      `setsid sh -c 'echo $$ >> $P; sleep 1000' &`,
		"has children":          `setsid sh -c 'echo $$ >> $P; sleep 1000 & echo $! >> $P; setsid sleep 1000 & echo $! >> $P; wait' &`,
		"closed its output":     `setsid sh -c 'echo $$ >> $P; exec sleep 1000' >/dev/null 2>&1 </dev/null &`,
		"lost its environment":  `setsid env -i P=$P sh -c 'echo $$ >> $P; exec sleep 1000' &`,
		"only its directory":    `setsid env -i P=$P sh -c 'echo $$ >> $P; exec sleep 1000' >/dev/null 2>&1 </dev/null &`,
		"gave up everything":    `setsid env -i P=$P sh -c 'cd /; echo $$ >> $P; exec sleep 1000' >/dev/null 2>&1 </dev/null &`,
		"a daemon":              `(setsid sh -c 'cd /; (sleep 1000 & echo $! >> $P) &' &)`,
		"children of the group": `for i in 1 2 3 4 5 6; do sh -c 'setsid sleep 1000 & echo $! >> $P; wait' & done`,
		"deaf":                  `setsid sh -c 'trap "" TERM INT HUP; echo $$ >> $P; while :; do sleep 1; done' &`,
		"stopped":               `setsid sh -c 'echo $$ >> $P; kill -STOP $$' &`,
	} {
		w := newWorld(t)
		list := filepath.Join(t.TempDir(), "pids")
		c := sh(script + `
until test -s $P; do sleep 0.01; done; sleep 0.1; echo done`)
		c.Env = append([]string{"P=" + list}, baseEnv...)
		r := w.run(c)
		if r.Status != engine.Pass || w.read(r.Stdout) != "done\n" {
			t.Errorf("%s: %v %q", name, r.Status, w.read(r.Log))
		}
		for _, pid := range pids(t, list) {
			if syscall.Kill(pid, 0) == nil {
				t.Errorf("%s: process %d is still there", name, pid)
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
}

// TestStraysOfOthersLive ends a command while another one runs, whose child has left its group: that one is needed still.
func TestStraysOfOthersLive(t *testing.T) {
	noneOnly(t)
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: only Linux says whose child a process is")
	}
	w := newWorld(t)
	dir := t.TempDir()
	list := filepath.Join(dir, "pids")
	long := sh(`(setsid sh -c 'echo $$ > $P; until test -e $D/gate; do sleep 0.01; done; echo served > $D/answer' &)
until test -e $D/answer; do sleep 0.01; done; cat $D/answer`)
	long.Env = append([]string{"P=" + list, "D=" + dir}, baseEnv...)
	var answer string
	var running sync.WaitGroup
	running.Go(func() {
		if r, err := w.Execute(t.Context(), long); err == nil {
			answer = w.read(r.Stdout)
		}
	})
	waitFor(t, "the long command's child to run", func() bool { return named(list) })
	short := sh(`setsid sleep 1000 & echo $! > $P.short`)
	short.Env = append([]string{"P=" + list}, baseEnv...)
	if r, err := w.Execute(t.Context(), short); err != nil || r.Status != engine.Pass {
		t.Errorf("%v, %v", r, err)
	}
	ended(t, pids(t, list+".short"))
	if err := os.WriteFile(filepath.Join(dir, "gate"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	running.Wait()
	if answer != "served\n" {
		t.Errorf("the other command's child answered %q", answer)
	}
}

func TestCancelEndsEverything(t *testing.T) {
	noneOnly(t)
	for name, script := range map[string]string{
		"plain":    "sleep 1000 & echo $! $$ > $P; wait",
		"stubborn": `trap "" TERM; sleep 1000 & echo $! $$ > $P; wait; sleep 1000`,
		"flood":    "yes & echo $! $$ > $P; wait",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			list := filepath.Join(t.TempDir(), "pids")
			c := sh(script)
			c.Env = append([]string{"P=" + list}, baseEnv...)
			ctx, cancel := context.WithCancel(t.Context())
			var cancelling sync.WaitGroup
			cancelling.Go(func() {
				waitFor(t, "the command to run", func() bool { return named(list) })
				cancel()
			})
			r, err := w.Execute(ctx, c)
			cancelling.Wait()
			if r != nil || !errors.Is(err, ctx.Err()) || errors.As(err, new(*engine.TroubleError)) {
				t.Errorf("%v, %v", r, err)
			}
			w.clean()
			ended(t, pids(t, list))
		})
	}
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := w.Execute(ctx, sh("true", w.file("x", ""))); r != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("already cancelled: %v, %v", r, err)
	}
	w.clean()
}

func TestCrash(t *testing.T) {
	w := newWorld(t)
	for script, code := range map[string]int{"kill -KILL $$": 137, "kill -TERM $$": 143, "kill -ABRT $$": 134} {
		if r := w.run(sh(script)); r.Status != engine.Crash || r.ExitCode != code {
			t.Errorf("%s: %v, exit code %d", script, r.Status, r.ExitCode)
		}
	}
	if r := w.run(sh("sh -c 'kill -KILL $$'; exit $?")); r.Status != engine.Fail || r.ExitCode != 137 {
		t.Errorf("of a child: %v, exit code %d", r.Status, r.ExitCode)
	}
}
