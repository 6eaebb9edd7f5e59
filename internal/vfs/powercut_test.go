package vfs

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// images makes n images of all that r has seen, and counts those in which name has the given content, another one, or is not there.
func images(t *testing.T, r *Recorder, n int, name, content string) (right, wrong, gone int) {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		image := filepath.Join(dir, strconv.Itoa(i))
		if _, err := r.Cut(r.Changes(), image, rand.New(rand.NewPCG(uint64(i), 0))); err != nil {
			t.Fatal(err)
		}
		switch data, err := os.ReadFile(filepath.Join(image, name)); {
		case errors.Is(err, os.ErrNotExist):
			gone++
		case string(data) == content:
			right++
		default:
			wrong++
		}
	}
	return right, wrong, gone
}

// What is synced, file and directories, is in every image; what is not may be lost, torn or whole.
func TestPowerCutsSpareWhatIsSynced(t *testing.T) {
	for _, c := range []struct {
		name               string
		file, dir          bool // are synced
		mayBeGone, mayFail bool
	}{
		{"nothing is synced", false, false, true, true},
		{"the file is", true, false, true, false},
		{"the directory is", false, true, false, true},
		{"both are", true, true, false, false},
	} {
		dir := t.TempDir()
		r := NewRecorder(OS, dir, func() time.Duration { return 0 })
		if err := write(r, filepath.Join(dir, "d")); err != nil {
			t.Fatal(err)
		}
		sync := func(name string) {
			f, err := r.Open(filepath.Join(dir, name))
			if err == nil {
				err = errors.Join(f.Sync(), f.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if c.file {
			sync("d/name")
		}
		if c.dir {
			sync("d")
			sync(".")
		}
		right, wrong, gone := images(t, r, 200, "d/name", "content")
		if right == 0 || (wrong > 0) != c.mayFail || (gone > 0) != c.mayBeGone {
			t.Errorf("%s: %d right, %d wrong, %d gone", c.name, right, wrong, gone)
		}
	}
}
