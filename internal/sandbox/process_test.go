package sandbox_test

import (
	"context"
	"errors"
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

// timed runs c and checks that it took no longer than most.
func (w *world) timed(c *engine.Command, most time.Duration) *engine.Result {
	w.t.Helper()
	start := time.Now()
	r := w.run(c)
	if took := time.Since(start); took > most {
		w.t.Errorf("took %v, more than %v", took, most)
	}
	return r
}

// pids reads process ids that a script wrote to a file, which is outside of the run's directory.
func pids(t *testing.T, path string) []int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
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
		for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(10 * time.Millisecond) {
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

// slack is what a loaded machine may add to times.
const slack = 1500 * time.Millisecond

func TestTimeoutEndsTheWholeGroup(t *testing.T) {
	noneOnly(t)
	for name, test := range map[string]struct {
		script string
		most   time.Duration
	}{
		"ends on TERM":           {"sleep 100 & echo $! $$ > $P; wait", 0},
		"children ignore TERM":   {`(trap "" TERM; sleep 100; sleep 100) & echo $! $$ > $P; wait`, 0},
		"ignores TERM":           {`trap "" TERM; sleep 100 & echo $! $$ > $P; wait; sleep 100`, 2 * time.Second},
		"stopped children":       {"sleep 100 & kill -STOP $!; echo $! $$ > $P; wait", 0},
		"stopped itself":         {"echo $$ > $P; kill -STOP $$; sleep 100", 0},
		"stops itself and again": {`trap "kill -STOP $$; kill -STOP $$" CONT TERM; echo $$ > $P; while :; do sleep 0.1; done`, 2 * time.Second},
		"many":                   {"for i in 1 2 3 4 5 6 7 8; do (sleep 100 & sleep 100 & wait) & echo $! >> $P; done; wait", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			list := filepath.Join(t.TempDir(), "pids")
			c := outs(sh("echo partial > o; "+test.script), "o")
			c.Env = append([]string{"P=" + list}, baseEnv...)
			c.Timeout = 500 * time.Millisecond
			r := w.timed(c, c.Timeout+test.most+slack)
			if r.Status != engine.Timeout || len(r.Outs) != 1 || !strings.Contains(w.read(r.Log), "timeout of 500ms") {
				t.Errorf("%v, outs %v: %s", r.Status, r.Outs, w.read(r.Log))
			}
			ended(t, pids(t, list))
		})
	}
}

// TestExitOnTERMIsATimeout has a command that ends in order when it is told to.
func TestExitOnTERMIsATimeout(t *testing.T) {
	w := newWorld(t)
	c := sh(`trap "echo bye; exit 0" TERM; sleep 100 & wait`)
	c.Timeout = 300 * time.Millisecond
	if r := w.timed(c, c.Timeout+slack); r.Status != engine.Timeout || !strings.Contains(w.read(r.Log), "bye") {
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
		c := sh("setsid sleep 100 & echo $! > $P; sleep 0.85; " + test.end)
		c.Env = append([]string{"P=" + list}, baseEnv...)
		c.Timeout = time.Second
		r := w.run(c)
		for range 9 { // on a busy machine it may really be late
			if r.Status != engine.Timeout {
				break
			}
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
	c := sh("sleep 100 & echo $! > $P; echo done")
	c.Env = append([]string{"P=" + list}, baseEnv...)
	r := w.timed(c, slack)
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
		"keeps everything":     `setsid sh -c 'echo $$ >> $P; sleep 100' &`,
		"has children":         `setsid sh -c 'echo $$ >> $P; sleep 100 & echo $! >> $P; setsid sleep 100 & echo $! >> $P; wait' &`,
		"closed its output":    `setsid sh -c 'echo $$ >> $P; exec sleep 100' >/dev/null 2>&1 </dev/null &`,
		"lost its environment": `setsid env -i P=$P sh -c 'echo $$ >> $P; exec sleep 100' &`,
		"only its directory":   `setsid env -i P=$P sh -c 'echo $$ >> $P; exec sleep 100' >/dev/null 2>&1 </dev/null &`,
		"gave up everything":   `setsid env -i P=$P sh -c 'cd /; echo $$ >> $P; exec sleep 100' >/dev/null 2>&1 </dev/null &`,
		"a daemon":             `(setsid sh -c 'cd /; (sleep 100 & echo $! >> $P) &' &)`,
		"deaf":                 `setsid sh -c 'trap "" TERM INT HUP; echo $$ >> $P; while :; do sleep 1; done' &`,
		"stopped":              `setsid sh -c 'echo $$ >> $P; kill -STOP $$' &`,
	} {
		w := newWorld(t)
		list := filepath.Join(t.TempDir(), "pids")
		c := sh(script + `
until test -s $P; do sleep 0.01; done; sleep 0.1; echo done`)
		c.Env = append([]string{"P=" + list}, baseEnv...)
		r := w.timed(c, 2*time.Second+slack)
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
	long.Timeout = 20 * time.Second
	var answer string
	var running sync.WaitGroup
	running.Go(func() {
		if r, err := w.Execute(t.Context(), long); err == nil {
			answer = w.read(r.Stdout)
		}
	})
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if data, _ := os.ReadFile(list); len(data) > 0 {
			break
		}
	}
	short := sh(`setsid sleep 100 & echo $! > $P.short`)
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
		"plain":    "sleep 100 & echo $! $$ > $P; wait",
		"stubborn": `trap "" TERM; sleep 100 & echo $! $$ > $P; wait; sleep 100`,
		"flood":    "yes & echo $! $$ > $P; wait",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			list := filepath.Join(t.TempDir(), "pids")
			c := sh(script)
			c.Env = append([]string{"P=" + list}, baseEnv...)
			ctx, cancel := context.WithTimeoutCause(t.Context(), 400*time.Millisecond, nil)
			defer cancel()
			start := time.Now()
			r, err := w.Execute(ctx, c)
			if r != nil || !errors.Is(err, ctx.Err()) || errors.As(err, new(*engine.TroubleError)) {
				t.Errorf("%v, %v", r, err)
			}
			if took := time.Since(start); took > 400*time.Millisecond+2*time.Second+slack {
				t.Errorf("took %v", took)
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
