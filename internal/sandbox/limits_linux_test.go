package sandbox_test

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cbuild/engine"
)

// hog is a script that holds $MB MiB of memory, and then says so.
const hog = `x=$(head -c ${MB}M /dev/zero | tail -c ${MB}M | wc -c); echo held $x; test $x = $((MB << 20)); `

// A command that goes beyond its memory ends, alone; whether the machine can tell so, or only denies it, decides what that is called.
func TestMemoryIsLimited(t *testing.T) {
	w := newWorld(t)
	var soft error
	w.Limits(func(why error) { soft = why })
	c := sh(hog)
	c.Env = append(slices.Clone(baseEnv), "MB=400")
	c.Memory = 128 << 20
	r := w.run(c)
	want := engine.OOM
	if soft != nil {
		t.Logf("SKIPPED: control groups: %v", soft)
		want = engine.Fail
	}
	if r.Status != want || w.Guarantees().Soft != (soft != nil) {
		t.Errorf("status %v, want %v; soft %v; log %q", r.Status, want, w.Guarantees().Soft, w.read(r.Log))
	}
	if log := w.read(r.Log); soft == nil && !strings.Contains(log, `out of memory: its limit is memory = "128MiB"`) {
		t.Errorf("log %q", log)
	}

	c.Env = append(c.Env[:len(c.Env)-1], "MB=40")
	r = w.run(c)
	if r.Status != engine.Pass || !strings.Contains(w.read(r.Log), "held 41943040") {
		t.Errorf("40 MiB of 128: %v, log %q", r.Status, w.read(r.Log))
	}
	// Without a group it is known only if it is more than the helper had, which here is the program of these tests.
	if used := r.Used.Memory; (used < 40<<20 || used > 128<<20) && (used != 0 || soft == nil) {
		t.Errorf("it used %d MiB, want 40 to 128", used>>20)
	}
}

// Children count together, and none survives.
func TestMemoryOfAllProcessesIsLimited(t *testing.T) {
	w := newWorld(t)
	var soft error
	w.Limits(func(why error) { soft = why })
	probe := sh("true")
	probe.Memory = 150 << 20
	w.run(probe)
	if soft != nil {
		t.Skipf("SKIPPED: without control groups each process has the limit for itself: %v", soft)
	}
	// What each has is held until all were given theirs, or ended over it: else they might come one after the other.
	hold := strings.NewReplacer("head -c ${MB}M /dev/zero", "{ head -c ${MB}M /dev/zero || :; echo > given.$i; }", "wc -c", "{ until test -e go; do sleep 0.05; done; wc -c; }").Replace(hog)
	c := sh("export MB=60; for i in 1 2 3 4 5; do (" + hold + ") & done; until test -e given.1 -a -e given.2 -a -e given.3 -a -e given.4 -a -e given.5; do sleep 0.05; done; echo > go; wait")
	c.Memory = probe.Memory
	r := w.run(c)
	if log := w.read(r.Log); r.Status != engine.OOM || strings.Count(log, "held 62914560") == 5 {
		t.Errorf("five times 60 MiB went into 150: %v, log %q", r.Status, log)
	}
}

func TestProcessorsAreLimited(t *testing.T) {
	w := newWorld(t)
	var soft error
	w.Limits(func(why error) { soft = why })
	c := sh("for i in 1 2 3; do (i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done) & done; wait")
	c.CPU = 1
	r := w.run(c)
	if soft != nil {
		t.Skipf("SKIPPED: there are no control groups: %v", soft)
	}
	busy := r.Used.User + r.Used.System
	if r.Status != engine.Pass || busy <= 0 || busy.Seconds() > r.Took.Seconds()*1.3+0.1 {
		t.Errorf("%v: %v of processors in %v", r.Status, busy, r.Took)
	}
}

func TestFilesAreLimited(t *testing.T) {
	w := newWorld(t)
	c := sh("head -c 5000000 /dev/zero > o")
	c.Outs = []engine.OutSpec{{Path: "o"}}
	c.Disk = 1 << 20
	if r := w.run(c); r.Status == engine.Pass {
		t.Errorf("a file of 5 MB passed a limit of 1 MiB: %v", r.Outs)
	}
	// So it is if the command does not mind.
	c = sh("head -c 5000000 /dev/zero > $TMPDIR/x || true")
	c.Disk = 1 << 20
	if r := w.run(c); r.Status != engine.Fail || !strings.Contains(w.read(r.Log), `a file reached disk = "1MiB"`) {
		t.Errorf("swallowed: %v, log %q", r.Status, w.read(r.Log))
	}
	// Together they are too large, too.
	c = sh("mkdir d; for i in 1 2 3 4 5; do head -c 500000 /dev/zero > d/$i; done")
	c.Outs = []engine.OutSpec{{Path: "d", Dir: true}}
	c.Disk = 1 << 20
	r := w.run(c)
	if r.Status != engine.Fail || len(r.Outs) != 0 || !strings.Contains(w.read(r.Log), `more than disk = "1MiB"`) {
		t.Errorf("2.5 MB in five files: %v, %v, log %q", r.Status, r.Outs, w.read(r.Log))
	}
	c.Disk = 3 << 20
	if r := w.run(c); r.Status != engine.Pass || len(r.Outs) != 1 {
		t.Errorf("2.5 MB of 3: %v, log %q", r.Status, w.read(r.Log))
	}
}

func TestWhatACommandUsedIsKnown(t *testing.T) {
	// What started the helper may have used more than a command does: this process, for one.
	if classFull {
		ballast, err := unix.Mmap(-1, 0, 500<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE) // memory of Go's would be followed by its race detector
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(ballast); i += 4096 {
			ballast[i] = 1
		}
		if err := unix.Munmap(ballast); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t)
	r := w.run(sh("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 0.1"))
	busy := r.Used.User + r.Used.System
	if r.Used.Memory > 8<<20 {
		t.Errorf("a small shell is said to have used %d MiB", r.Used.Memory>>20)
	}
	c := sh(hog)
	c.Env = append(slices.Clone(baseEnv), "MB=300")
	// In class none it is started by this test, whose own peak may be higher: then nothing is known.
	if m := w.run(c).Used.Memory; (m < 300<<20 || m > 400<<20) && (m != 0 || classFull) {
		t.Errorf("300 MiB are said to be %d", m>>20)
	}
	if busy <= 0 || busy > r.Took || r.Took.Seconds() < 0.1 {
		t.Errorf("took %v, of which %v of a processor", r.Took, busy)
	}
}
