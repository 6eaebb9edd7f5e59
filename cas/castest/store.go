package castest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sync/errgroup"

	"cbuild/cas"
)

// Store tests that the stores that open returns keep the contract of cas.Store. Each call returns an empty one.
func Store(t *testing.T, open func(t *testing.T) cas.Store) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s cas.Store)
	}{
		{"blobs come back as they were", testContent},
		{"a missing blob is ErrNotFound", testNotFound},
		{"missing keeps the order", testMissing},
		{"a failing reader stores nothing", testFailingReader},
		{"a cancelled context ends every call", testCancelled},
		{"equal content put at once", testConcurrent},
		{"many goroutines", testMany},
		{"a reader outlives other calls", testSlowReader},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// Content returns n bytes that do not compress, the same for the same seed.
func Content(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	data := make([]byte, 0, n+8)
	for len(data) < n {
		data = binary.LittleEndian.AppendUint64(data, r.Uint64())
	}
	return data[:n]
}

// contents are blobs of many sizes, below and above every bound that an implementation may have.
func contents() map[string][]byte {
	m := map[string][]byte{"empty": {}, "one byte": {0}, "text": []byte("hello\n")}
	for _, n := range []int{511, 512, 4095, 4096, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20, 10<<20 + 17} {
		m[fmt.Sprintf("%d zeros", n)] = make([]byte, n)
		m[fmt.Sprintf("%d random bytes", n)] = Content(uint64(n), n)
		m[fmt.Sprintf("%d bytes of text", n)] = []byte(strings.Repeat("all work and no play ", n/21+1)[:n])
	}
	// The beginning promises what the rest does not keep, both ways.
	m["text, then noise"] = append([]byte(strings.Repeat("a", 64<<10)), Content(1, 3<<20)...)
	m["noise, then text"] = append(Content(2, 64<<10), make([]byte, 3<<20)...)
	return m
}

func mustPut(t *testing.T, s cas.Store, data []byte) cas.Digest {
	t.Helper()
	d, err := s.Put(t.Context(), bytes.NewReader(data))
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	if want := cas.Of(data); d != want {
		t.Fatalf("put %d bytes: digest %v of %d bytes, want %v", len(data), d, d.Size, want)
	}
	return d
}

func expect(t *testing.T, s cas.Store, d cas.Digest, want []byte) {
	t.Helper()
	got, err := cas.ReadAll(t.Context(), s, d, int64(len(want)))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("open: %d bytes that differ from the %d put: %v", len(got), len(want), err)
	}
}

func testContent(t *testing.T, s cas.Store) {
	for name, data := range contents() {
		d := mustPut(t, s, data)
		expect(t, s, d, data)
		mustPut(t, s, data)
		expect(t, s, d, data)
		d.Size = -1
		expect(t, s, d, data)
		odd, err := s.Put(t.Context(), iotest.OneByteReader(bytes.NewReader(data[:min(len(data), 70_000)])))
		if want := cas.Of(data[:min(len(data), 70_000)]); err != nil || odd != want {
			t.Errorf("%s byte by byte: %v, %v; want %v", name, odd, err, want)
		}
	}
}

func testNotFound(t *testing.T, s cas.Store) {
	d := mustPut(t, s, []byte("there"))
	bigger := d
	bigger.Size++
	foreign := d
	foreign.Function = cas.SHA256
	for name, d := range map[string]cas.Digest{"never put": cas.Of([]byte("not there")), "never put and empty": cas.Of(nil), "another size": bigger, "another function": foreign, "zero": {}} {
		if r, err := s.Open(t.Context(), d); !errors.Is(err, cas.ErrNotFound) {
			t.Errorf("%s: %v, %v; want ErrNotFound", name, r, err)
		}
		if m, err := s.Missing(t.Context(), []cas.Digest{d}); err != nil || len(m) != 1 {
			t.Errorf("%s: missing %v, %v", name, m, err)
		}
	}
	expect(t, s, d, []byte("there"))
}

func testMissing(t *testing.T, s cas.Store) {
	var all, want []cas.Digest
	for i := range 40 {
		data := []byte(strings.Repeat(fmt.Sprint(i, " "), i*50))
		if i%3 == 0 {
			mustPut(t, s, data)
		} else {
			want = append(want, cas.Of(data))
		}
		all = append(all, cas.Of(data))
	}
	got, err := s.Missing(t.Context(), all)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("missing %v, %v\nwant %v", got, err, want)
	}
	if got, err := s.Missing(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("missing of nothing: %v, %v", got, err)
	}
}

func testFailingReader(t *testing.T, s cas.Store) {
	for _, n := range []int{0, 10, 100_000, 2 << 20} {
		data := make([]byte, n)
		for _, broken := range []error{errors.New("broken"), io.ErrUnexpectedEOF} {
			if d, err := s.Put(t.Context(), io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken))); !errors.Is(err, broken) {
				t.Errorf("%d bytes, then %v: %v, %v", n, broken, d, err)
			}
		}
		if m, err := s.Missing(t.Context(), []cas.Digest{cas.Of(data)}); err != nil || len(m) != 1 {
			t.Errorf("%d bytes, then an error: they are stored (%v)", n, err)
		}
	}
}

func testCancelled(t *testing.T, s cas.Store) {
	d := mustPut(t, s, []byte("x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Open(ctx, d); !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v", err)
	}
	if _, err := s.Put(ctx, strings.NewReader("y")); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}
	if _, err := s.Missing(ctx, []cas.Digest{d}); !errors.Is(err, context.Canceled) {
		t.Errorf("missing: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	if _, err := s.Put(ctx, io.MultiReader(bytes.NewReader(make([]byte, 1<<20)), cancelReader(cancel))); !errors.Is(err, context.Canceled) {
		t.Errorf("put, cancelled on the way: %v", err)
	}
}

// cancelReader is an endless reader that cancels at its first byte.
type cancelReader func()

func (c cancelReader) Read(p []byte) (int, error) {
	c()
	return len(p), nil
}

func testConcurrent(t *testing.T, s cas.Store) {
	for _, data := range [][]byte{[]byte("small"), make([]byte, 3<<20), Content(5, 1<<20)} {
		g, ctx := errgroup.WithContext(t.Context())
		for range 16 {
			g.Go(func() error {
				d, err := s.Put(ctx, bytes.NewReader(data))
				if err != nil {
					return err
				}
				got, err := cas.ReadAll(ctx, s, d, int64(len(data)))
				if err == nil && !bytes.Equal(got, data) {
					err = errors.New("other bytes came back")
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	}
}

func testMany(t *testing.T, s cas.Store) {
	g, ctx := errgroup.WithContext(t.Context())
	for i := range 8 {
		g.Go(func() error {
			for j := range 100 {
				data := Content(uint64(j%25), 100*(j%25))
				if (i+j)%2 == 0 {
					data = bytes.Repeat([]byte{byte(j)}, 70*j)
				}
				d, err := s.Put(ctx, bytes.NewReader(data))
				if err != nil {
					return err
				}
				if m, err := s.Missing(ctx, []cas.Digest{d}); err != nil || len(m) > 0 {
					return fmt.Errorf("missing what was just put: %w", err)
				}
				if got, err := cas.ReadAll(ctx, s, d, int64(len(data))); err != nil || !bytes.Equal(got, data) {
					return fmt.Errorf("reading what was just put: %w", err)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

func testSlowReader(t *testing.T, s cas.Store) {
	data := bytes.Repeat([]byte("0123456789"), 300_000)
	d := mustPut(t, s, data)
	r, err := s.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 10)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	expect(t, s, d, data)
	mustPut(t, s, Content(9, 100_000))
	rest, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(append(head, rest...), data) {
		t.Errorf("other bytes: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
