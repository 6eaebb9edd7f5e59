package local

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/engine"
)

func BenchmarkPut(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 16 << 10} {
		for kind, content := range map[string][]byte{"noise": castest.Content(1, size), "zeros": make([]byte, size)} {
			b.Run(fmt.Sprintf("%d/%s", size, kind), func(b *testing.B) {
				l := open(b, b.TempDir())
				n := uint64(0)
				b.ReportAllocs()
				for b.Loop() {
					n++
					binary.LittleEndian.PutUint64(content, n)
					put(b, l, content)
				}
			})
		}
	}
	b.Run("again", func(b *testing.B) {
		l := open(b, b.TempDir())
		for b.Loop() {
			put(b, l, []byte("the same"))
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	for name, data := range map[string][]byte{"1024": castest.Content(1, 1024), "1024 compressed": make([]byte, 1024), "10 MiB": castest.Content(1, 10<<20)} {
		for _, first := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/first=%v", name, first), func(b *testing.B) {
				l := open(b, b.TempDir())
				d := put(b, l, data)
				b.ReportAllocs()
				for b.Loop() {
					if first {
						l.checked.remove(d.Hash)
					}
					r, err := l.Open(context.Background(), d)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := io.Copy(io.Discard, r); err != nil {
						b.Fatal(err)
					}
					r.Close()
				}
			})
		}
	}
}

func benchRecord(i int) engine.Record {
	k := engine.Key(cas.Of(binary.LittleEndian.AppendUint64(nil, uint64(i))).Hash)
	out := engine.Output{Path: "out", Artifact: engine.Artifact{Digest: cas.Of([]byte("out")), Name: "out"}}
	pre := "rule: \"run 1\"\ncontract: \"v1\"\ncommand[0]: \"cc\"\n"
	for range 8 {
		pre += "input src: " + cas.Of([]byte(pre)).String() + "\n"
	}
	return engine.Record{Key: k, Result: &engine.Result{Outs: []engine.Output{out}, Log: cas.Of([]byte("log")), Took: 1}, Preimage: []byte(pre)}
}

func BenchmarkActionCache(b *testing.B) {
	const records = 2000
	l := open(b, b.TempDir())
	b.Run("record", func(b *testing.B) {
		n := records
		b.ReportAllocs()
		for b.Loop() {
			n++
			if err := l.Record(context.Background(), benchRecord(n)); err != nil {
				b.Fatal(err)
			}
		}
	})
	for i := range records {
		if err := l.Record(b.Context(), benchRecord(i)); err != nil {
			b.Fatal(err)
		}
	}
	keys := make([]engine.Key, records)
	for i := range keys {
		keys[i] = benchRecord(i).Key
	}
	b.Run("hit", func(b *testing.B) {
		n := 0
		b.ReportAllocs()
		for b.Loop() {
			n++
			if r, reason, err := l.Lookup(context.Background(), keys[n%records], engine.Conditions{}, engine.LookupNormal); r == nil {
				b.Fatal(reason, err)
			}
		}
	})
	b.Run("miss", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if r, _, err := l.Lookup(context.Background(), engine.Key{1}, engine.Conditions{}, engine.LookupNormal); r != nil || err != nil {
				b.Fatal(r, err)
			}
		}
	})
}

// BenchmarkIngest compares putting a large file, which is in the system's cache, with reading and hashing it, and with writing it at the
// same time, as well as can be. Removing what was written is not measured.
func BenchmarkIngest(b *testing.B) {
	const size = 64 << 20
	large := filepath.Join(b.TempDir(), "large")
	if err := os.WriteFile(large, castest.Content(1, size), 0o666); err != nil {
		b.Fatal(err)
	}
	l := openWith(b, b.TempDir(), Options{Durability: None})
	run := func(name string, do func(f *os.File) (written string, err error)) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				f, err := os.Open(large)
				if err != nil {
					b.Fatal(err)
				}
				written, err := do(f)
				b.StopTimer()
				if err := errors.Join(err, f.Close(), os.RemoveAll(written)); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
	readAndHash := func(f io.Reader) error {
		_, err := io.CopyBuffer(cas.BLAKE3.New(), struct{ io.Reader }{f}, make([]byte, piece))
		return err
	}
	run("read and hash", func(f *os.File) (string, error) { return "", readAndHash(f) })
	run("and write", func(f *os.File) (string, error) {
		out, err := os.CreateTemp(l.dir, "")
		if err != nil {
			return "", err
		}
		var writing sync.WaitGroup
		var werr error
		writing.Go(func() {
			_, werr = io.CopyBuffer(struct{ io.Writer }{out}, io.NewSectionReader(f, 0, size), make([]byte, piece))
		})
		err = readAndHash(f)
		writing.Wait()
		return out.Name(), errors.Join(err, werr, out.Close())
	})
	run("put", func(f *os.File) (string, error) {
		d, err := l.Put(context.Background(), f)
		l.checked.remove(d.Hash)
		return blobIn(l.dir, d, raw), err
	})
}

// BenchmarkPublish stores a small result, a log of 100 bytes and a record, in the store and as two synced files.
func BenchmarkPublish(b *testing.B) {
	b.Run("group", func(b *testing.B) {
		l := open(b, b.TempDir())
		for n := 0; b.Loop(); n++ {
			r := benchRecord(n)
			put(b, l, fmt.Appendf(nil, "a short log %88d", n))
			if err := l.Record(context.Background(), r); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, sync := range []bool{true, false} {
		b.Run(fmt.Sprintf("bbolt, sync %v", sync), func(b *testing.B) {
			db, err := bbolt.Open(filepath.Join(b.TempDir(), "db"), 0o666, &bbolt.Options{NoSync: !sync})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			for n := 0; b.Loop(); n++ {
				r := benchRecord(n)
				err := db.Update(func(tx *bbolt.Tx) error {
					bucket, err := tx.CreateBucketIfNotExists([]byte("results"))
					if err != nil {
						return err
					}
					log := fmt.Appendf(nil, "a short log %88d", n)
					sum := cas.Of(log).Hash
					return errors.Join(bucket.Put(sum[:], log), bucket.Put(r.Key[:], r.Preimage))
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("synced files", func(b *testing.B) {
		dir := b.TempDir()
		d, err := os.Open(dir)
		if err != nil {
			b.Fatal(err)
		}
		defer d.Close()
		for n := 0; b.Loop(); n++ {
			r := benchRecord(n)
			for i, data := range [][]byte{r.Preimage[len(r.Preimage)-100:], r.Preimage} {
				name := filepath.Join(dir, fmt.Sprint(n, "-", i))
				f, err := os.Create(name + ".tmp")
				if err != nil {
					b.Fatal(err)
				}
				_, err = f.Write(data)
				if err = errors.Join(err, f.Sync(), f.Close(), os.Rename(name+".tmp", name), d.Sync()); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
