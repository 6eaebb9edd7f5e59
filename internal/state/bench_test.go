package state

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"cbuild/cas/castest"
	"cbuild/internal/clock"
	"cbuild/internal/vfs"
)

// BenchmarkTree is a directory input of 1,000 files: all read, and none because the table knows them.
func BenchmarkTree(b *testing.B) {
	root, state := b.TempDir(), b.TempDir()
	for i := range 1000 {
		dir := filepath.Join(root, fmt.Sprint("src/", i%10))
		if err := os.MkdirAll(dir, 0o777); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), []byte(fmt.Sprint(i)), 0o666); err != nil {
			b.Fatal(err)
		}
	}
	store := castest.NewMemory()
	table := OpenStatTable(vfs.OS, clock.System, filepath.Join(state, "stat"))
	table.now = table.now.Add(racy)
	for _, known := range []bool{false, true} {
		b.Run(fmt.Sprintf("known=%v", known), func(b *testing.B) {
			for b.Loop() {
				if !known {
					clear(table.entries)
				}
				if _, err := NewSources(vfs.OS, root, store, table).Source(b.Context(), "", "src"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("save and load", func(b *testing.B) {
		for b.Loop() {
			if err := table.Save(); err != nil {
				b.Fatal(err)
			}
			OpenStatTable(vfs.OS, clock.System, table.name)
		}
	})
}

func BenchmarkSpool(b *testing.B) {
	s, err := NewSpool(vfs.OS, b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	row := make([]byte, 300)
	for b.Loop() {
		if _, err := s.Append(row); err != nil {
			b.Fatal(err)
		}
	}
}
