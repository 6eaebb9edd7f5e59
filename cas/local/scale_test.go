package local

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"cbuild/cas"
	"cbuild/engine"
)

// scaleRecord is a real record: a result with an out and a log, and the pre-image of a run with three inputs.
func scaleRecord(i int) engine.Record {
	r := benchRecord(i)
	r.Key = engine.Key(cas.Of(binary.LittleEndian.AppendUint64(nil, uint64(i))).Hash)
	return r
}

// TestScale publishes CBUILD_STORE_SCALE results in 64 packs or more, and says how fast that was, how long opening takes, how long look-ups take
// and how much memory an open store needs. It decides nothing by time.
func TestScale(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("CBUILD_STORE_SCALE"))
	if err != nil {
		t.Skip("SKIPPED: CBUILD_STORE_SCALE is not set")
	}
	dir := filepath.Join(t.TempDir(), "cas")
	const packs = 64
	all := make([]engine.Record, 0, 1000)
	var publishing time.Duration
	for p := range packs {
		l, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for from := p * n / packs; from < (p+1)*n/packs; from += len(all) {
			all = all[:0]
			for i := from; i < min(from+1000, (p+1)*n/packs); i++ {
				all = append(all, scaleRecord(i))
			}
			start := cpu(t)
			for i, r := range all {
				put(t, l, fmt.Appendf(nil, "a short log %88d", from+i))
				if err := l.Record(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			publishing += cpu(t) - start
		}
		start := cpu(t)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		publishing += cpu(t) - start
	}
	files, _ := filepath.Glob(filepath.Join(dir, "pack", "*.pack"))
	t.Logf("%d results in %d packs: %.0f a second of processor time", n, len(files), float64(n)/publishing.Seconds())
	before := heap()
	var opens, firsts []time.Duration
	for i := range 5 {
		start := time.Now()
		l, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		opens = append(opens, time.Since(start))
		start = time.Now()
		if r, reason, err := l.Lookup(t.Context(), scaleRecord(i).Key, engine.Conditions{}, engine.LookupNormal); r == nil {
			t.Fatal(reason, err)
		}
		firsts = append(firsts, time.Since(start))
		if i == 4 {
			lookups(t, l, n)
			t.Logf("memory of an open store: %.1f MiB", float64(heap()-before)/(1<<20))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("open: %v; the first look-up: %v", slices.Min(opens), slices.Min(firsts))
}

// lookups measures looking up keys that are there, and keys that are not.
func lookups(t *testing.T, l *Local, n int) {
	keys := make([]engine.Key, 100_000)
	for i := range keys {
		keys[i] = scaleRecord(rand.IntN(n)).Key
	}
	var rounds []time.Duration // the first asks for what nobody has asked for
	for range 16 {
		start := cpu(t)
		for _, k := range keys {
			if r, reason, err := l.Lookup(t.Context(), k, engine.Conditions{}, engine.LookupNormal); r == nil {
				t.Fatal(reason, err)
			}
		}
		rounds = append(rounds, (cpu(t)-start)/time.Duration(len(keys)))
	}
	later := slices.Sorted(slices.Values(rounds[1:]))
	t.Logf("look-up of a result that is there, the first time: %v; later: %v, from %v to %v", rounds[0], later[len(later)/2], later[0], later[len(later)-1])
	start := cpu(t)
	for _, k := range keys {
		if l.top(k, true).pack == nil {
			t.Error("it is not found")
		}
	}
	t.Logf("where it is, without reading it: %v", (cpu(t)-start)/time.Duration(len(keys)))
	t.Logf("the floor, one bare pread of 256 bytes where a record lies: %v", floor(t, l, keys))
	start = cpu(t)
	for i := range keys {
		if m, err := l.Missing(t.Context(), []cas.Digest{cas.Of(binary.LittleEndian.AppendUint64(nil, uint64(n+i)))}); len(m) != 1 {
			t.Fatal(m, err)
		}
	}
	t.Logf("that a blob is not there: %v", (cpu(t)-start)/time.Duration(len(keys)))
}

// floor returns what it takes to read 256 bytes where the records of keys lie, with nothing around it.
func floor(t *testing.T, l *Local, keys []engine.Key) time.Duration {
	type place struct {
		fd int
		at int64
	}
	fds := make(map[packID]int)
	var places []place
	for _, k := range keys {
		at := l.top(k, true)
		if _, ok := fds[at.pack.id]; !ok {
			f, err := os.Open(at.pack.name())
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			fds[at.pack.id] = int(f.Fd())
		}
		places = append(places, place{fds[at.pack.id], int64(at.offset)})
	}
	buf := make([]byte, 256)
	start := cpu(t)
	for _, p := range places {
		if n, err := syscall.Pread(p.fd, buf, p.at); n < len(buf) {
			t.Fatal(n, err)
		}
	}
	return (cpu(t) - start) / time.Duration(len(keys))
}

// cpu is the processor time that this process has used: other processes are not its fault.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
