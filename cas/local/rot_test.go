package local

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/engine"
)

// One bit of each of 1,000 files (CBUILD_ROT sets another number) flips: packs, indexes, loose blobs of both forms. Each is noticed, nobody gets wrong bytes, and what is
// made again is as before.
func TestBitRot(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cas")
	n := times(t, "CBUILD_ROT", 1000) / 4
	rotten := 4 * n
	content := func(i int) [][]byte {
		return [][]byte{castest.Content(uint64(i), 50+i), castest.Content(uint64(i), chunk+i), append(make([]byte, chunk), fmt.Sprint(i)...)}
	}
	fill := func() {
		for i := range n {
			l, err := Open(dir, Options{Durability: None})
			if err != nil {
				t.Fatal(err)
			}
			r := engine.Record{Key: engine.Key(cas.Of(fmt.Append(nil, i)).Hash), Result: &engine.Result{}}
			for _, data := range content(i) {
				r.Result.Log = put(t, l, data)
			}
			if err := errors.Join(l.Record(t.Context(), r), l.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill()
	random := rand.New(rand.NewPCG(1, 1))
	flippedFiles := 0
	for _, name := range files(t, dir) {
		if strings.Contains(name, "/pins/") || strings.Contains(name, "/collect") || filepath.Dir(name) == dir {
			continue // they say nothing that could be wrong: TestAnyFileCanBeDamaged
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		bit := random.IntN(8 * len(data))
		data[bit/8] ^= 1 << (bit % 8)
		if err := rewrite(name, data); err != nil {
			t.Fatal(err)
		}
		flippedFiles++
	}
	if flippedFiles != rotten {
		t.Fatalf("%d files", flippedFiles)
	}
	l := open(t, dir)
	for i := range n {
		for _, data := range content(i) {
			got, err := cas.ReadAll(t.Context(), l, cas.Of(data), 1<<20)
			if err == nil && !bytes.Equal(got, data) {
				t.Errorf("blob %d: wrong bytes", i)
			}
		}
		if _, _, err := l.Lookup(t.Context(), engine.Key(cas.Of(fmt.Append(nil, i)).Hash), engine.Conditions{}, engine.LookupNormal); err != nil {
			t.Error(err)
		}
	}
	rep, err := l.Verify(t.Context(), Sample{})
	if err != nil {
		t.Fatal(err)
	}
	noticed := make(map[string]bool)
	for _, name := range files(t, filepath.Join(dir, "quarantine")) {
		name, _, _ = strings.Cut(filepath.Base(name), "@")
		noticed[name] = true
	}
	for _, d := range rep.Damaged {
		name, _, _ := strings.Cut(filepath.Base(d), " ")
		noticed[strings.TrimSuffix(name, packSuffix)] = true
	}
	// Some bits of a compressed file mean nothing: it has the same content without them.
	harmless := 0
	for _, name := range files(t, filepath.Join(dir, "blob")) {
		if strings.HasSuffix(name, string(compressed)) {
			harmless++
		}
	}
	t.Logf("%d of %d files were noticed, %d bits meant nothing", len(noticed), rotten, harmless)
	if len(noticed)+harmless != rotten || harmless > rotten/20 {
		t.Error("that is not all")
	}
	if _, err := l.Repair(t.Context()); err != nil {
		t.Fatal(err)
	}
	fill()
	again := open(t, dir)
	if rep, err := again.Verify(t.Context(), Sample{}); err != nil || len(rep.Damaged) > 0 {
		t.Errorf("%+v, %v", rep, err)
	}
	for i := range n {
		for _, data := range content(i) {
			if !finds(t, again, data) {
				t.Errorf("blob %d was not made again", i)
			}
		}
	}
}
