package local

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/engine"
	"cbuild/internal/vfs"
)

// times returns how often a harness does its thing: n, or what an environment variable says.
func times(t *testing.T, variable string, n int) int {
	t.Helper()
	if v := os.Getenv(variable); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	} else if testing.Short() {
		n = max(1, n/10)
	}
	t.Logf("%s=%d", variable, n)
	return n
}

// An ack is a result that was reported as stored, or as taken back.
type ack struct {
	key       engine.Key
	blobs     [][]byte
	at        time.Duration
	change    int // the length of the log then
	withdrawn int // the length of the log when it was taken back, if it was
}

// work uses a store for some 20 seconds of virtual time and returns what was acknowledged. The store is closed, collected and opened again
// on the way.
func work(t *testing.T, rec *vfs.Recorder, dir string, durability Durability, now func() time.Duration) (acks []*ack) {
	random := rand.New(rand.NewPCG(1, 2))
	l, err := Open(dir, Options{FS: rec, Durability: durability})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 80 {
		a := &ack{key: engine.Key(cas.Of(fmt.Append(nil, "key ", i)).Hash), blobs: [][]byte{castest.Content(uint64(i), 100+i)}}
		if i%5 == 0 {
			a.blobs = append(a.blobs, castest.Content(uint64(i), chunk+i))
		}
		r := engine.Record{Key: a.key, Result: &engine.Result{}}
		for j, data := range a.blobs {
			r.Result.Outs = append(r.Result.Outs, engine.Output{Path: strconv.Itoa(j), Artifact: engine.Artifact{Digest: put(t, l, data)}})
		}
		if err := l.Record(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		a.at, a.change = now(), rec.Changes()
		acks = append(acks, a)
		if i%9 == 8 {
			if err := l.Withdraw(t.Context(), acks[i-3].key); err != nil {
				t.Fatal(err)
			}
			acks[i-3].withdrawn = rec.Changes()
		}
		time.Sleep(time.Duration(random.IntN(500)) * time.Millisecond)
		if i%20 == 19 {
			_, err := l.Collect(t.Context(), Limits{Keep: -1})
			if err = errors.Join(err, l.Close()); err != nil {
				t.Fatal(err)
			}
			if l, err = Open(dir, Options{FS: rec, Durability: durability}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return acks
}

// cuts makes images and returns how many acknowledged results were lost although they were older than a second, how many were back although
// they had been taken back, and how many blobs had wrong bytes.
func cuts(t *testing.T, durability Durability, n int) (lost, back, wrong int) {
	var acks []*ack
	var rec *vfs.Recorder
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		start := time.Now()
		now := func() time.Duration { return time.Since(start) }
		rec = vfs.NewRecorder(vfs.OS, dir, now)
		acks = work(t, rec, dir, durability, now)
	})
	random := rand.New(rand.NewPCG(3, 4))
	for i := range n {
		change := random.IntN(rec.Changes() + 1)
		image := filepath.Join(t.TempDir(), "image")
		at, err := rec.Cut(change, image, rand.New(rand.NewPCG(uint64(i), 5)))
		if err != nil {
			t.Fatal(err)
		}
		l := openWith(t, image, Options{Durability: None})
		for _, a := range acks {
			r, _, err := l.Lookup(t.Context(), a.key, engine.Conditions{}, engine.LookupNormal)
			if err != nil {
				t.Errorf("image %d: %v", i, err)
			}
			whole := r != nil
			for _, data := range a.blobs {
				got, err := cas.ReadAll(t.Context(), l, cas.Of(data), 1<<20)
				if err != nil && !errors.Is(err, cas.ErrNotFound) {
					t.Errorf("image %d: %v", i, err)
				}
				if err == nil && !bytes.Equal(got, data) {
					wrong++
				}
				whole = whole && err == nil
			}
			switch taken := a.withdrawn > 0 && a.withdrawn <= change; {
			case taken && r != nil:
				back++
			case a.withdrawn == 0 && a.change <= change && a.at < at-syncEvery && !whole:
				lost++
			}
		}
		if _, err := l.Verify(t.Context(), Sample{}); err != nil {
			t.Errorf("image %d: verify: %v", i, err)
		}
		if rep, err := l.Verify(t.Context(), Sample{}); err != nil || len(rep.Damaged) > 0 {
			t.Errorf("image %d: the second verify: %+v, %v", i, rep, err)
		}
		put(t, l, []byte("it goes on"))
	}
	return lost, back, wrong
}

// A power cut costs at most the last second of finished work, and never a wrong result. CBUILD_POWERCUT sets the number of images.
func TestPowerCut(t *testing.T) {
	lost, back, wrong := cuts(t, Group, times(t, "CBUILD_POWERCUT", 100))
	if lost > 0 || back > 0 || wrong > 0 {
		t.Errorf("%d results lost, %d back that had been taken back, %d blobs wrong", lost, back, wrong)
	}
}

// The harness would notice: without syncing, much is lost, and still nothing is wrong.
func TestPowerCutWithoutSyncing(t *testing.T) {
	lost, _, wrong := cuts(t, None, 30)
	t.Logf("%d results lost in 30 images", lost)
	if lost == 0 || wrong > 0 {
		t.Errorf("%d results lost, %d blobs wrong", lost, wrong)
	}
}
