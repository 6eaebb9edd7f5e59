package state

import (
	"os"
	"path/filepath"
	"testing"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/internal/clock"
	"cbuild/internal/vfs"
)

// TestRestoreStoresALostSourceAgain loses a file that the table knows, so that nothing else would read it again.
func TestRestoreStoresALostSourceAgain(t *testing.T) {
	root, store := t.TempDir(), castest.NewMemory()
	if err := os.MkdirAll(filepath.Join(root, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(content string) {
		if err := os.WriteFile(filepath.Join(root, "d", "f"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("content")
	table := OpenStatTable(vfs.OS, clock.System, filepath.Join(t.TempDir(), "stat"))
	s := NewSources(vfs.OS, root, store, table)
	src, err := s.Source(t.Context(), "", "d")
	if err != nil {
		t.Fatal(err)
	}
	file := cas.Of([]byte("content"))
	store.Delete(file)
	if err := s.Restore(t.Context(), src.Digest); err != nil {
		t.Fatal(err)
	}
	if missing, _ := store.Missing(t.Context(), []cas.Digest{file}); len(missing) > 0 {
		t.Error("the file is still lost")
	}
	if err := s.Restore(t.Context(), cas.Of([]byte("other"))); err == nil {
		t.Error("what is no source was restored")
	}
	write("changed")
	if err := s.Restore(t.Context(), src.Digest); err == nil {
		t.Error("a changed source passed for the old one")
	}
}
