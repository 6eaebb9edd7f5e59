package local

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"cbuild/engine"
)

func exported(t *testing.T) (data []byte, m Moved) {
	t.Helper()
	dir := t.TempDir()
	build(t, dir, 0)
	build(t, dir, 1)
	build(t, dir, 2)
	var buf bytes.Buffer
	m, err := open(t, dir).Export(t.Context(), &buf, slices.Values([]engine.Key{{1}, {2}, {1}, {99}}))
	if err != nil || m.Records != 2 || m.Lost > 0 {
		t.Fatal(m, err)
	}
	return buf.Bytes(), m
}

func TestAnExportHoldsResultsWithTheirBlobs(t *testing.T) {
	data, m := exported(t)
	dir := t.TempDir()
	l := open(t, dir)
	got, err := l.Import(t.Context(), iotest.HalfReader(bytes.NewReader(data)))
	if err != nil || got != m {
		t.Errorf("%+v, %v; want %+v", got, err, m)
	}
	for n := range 2 {
		lookUp(t, l, n)
		for _, data := range blobsOf(n) {
			if !finds(t, l, data) {
				t.Errorf("a blob of %d is not there", n)
			}
		}
	}
	if finds(t, l, blobsOf(2)[0]) {
		t.Error("a blob of another target is there")
	}
	if lost, err := l.lost(t.Context(), first2(l.Lookup(t.Context(), engine.Key{1}, engine.Conditions{}, engine.LookupNormal))); lost || err != nil {
		t.Error(lost, err)
	}
}

func first2[A, B, C any](a A, _ B, _ C) A { return a }

// Whatever happens to an export on its way, nothing wrong gets into a store.
func TestADamagedExportIsRefused(t *testing.T) {
	data, _ := exported(t)
	step := 997
	for i := 0; i < len(data); i += step {
		for name, bad := range map[string][]byte{"flipped": flipped(data, i), "cut": data[:i]} {
			l := openWith(t, t.TempDir(), Options{Durability: None})
			if _, err := l.Import(t.Context(), bytes.NewReader(bad)); err == nil {
				t.Errorf("%s at %d of %d: it is taken", name, i, len(data))
			}
			if rep, err := l.Verify(t.Context(), Sample{}); err != nil || len(rep.Damaged) > 0 {
				t.Errorf("%s at %d: %+v, %v", name, i, rep, err)
			}
		}
	}
	l := open(t, t.TempDir())
	broken := errors.New("broken")
	if _, err := l.Import(t.Context(), io.MultiReader(bytes.NewReader(data[:len(data)/2]), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Import(ctx, bytes.NewReader(data)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func flipped(data []byte, i int) []byte {
	data = bytes.Clone(data)
	data[i] ^= 1 << (i % 8)
	return data
}

func FuzzImport(f *testing.F) {
	l := openWith(f, f.TempDir(), Options{Durability: None})
	f.Add(append([]byte(exportMagic), appendItem(nil, exportEnd, 0, [32]byte{})...))
	f.Add(append(append([]byte(exportMagic), appendItem(nil, byte(rawBlob), 3, [32]byte{})...), "abc"...))
	f.Fuzz(func(t *testing.T, data []byte) {
		var packed bytes.Buffer
		enc, err := l.codec.writer(&packed)
		if err != nil {
			t.Fatal(err)
		}
		_, err = enc.Write(data)
		if err = errors.Join(err, enc.Close()); err != nil {
			t.Fatal(err)
		}
		_, _ = l.Import(t.Context(), &packed)
		_, _ = l.Import(t.Context(), bytes.NewReader(data))
	})
}
