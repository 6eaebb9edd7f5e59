package state

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cbuild/internal/vfs"

	"golang.org/x/sync/errgroup"
)

func load(t *testing.T, p *Pins) []Pin {
	t.Helper()
	pins, err := p.Load()
	if err != nil {
		t.Fatal(err)
	}
	return pins
}

func TestPinsComeBackInOrder(t *testing.T) {
	p := NewPins(vfs.OS, filepath.Join(t.TempDir(), "new", "pins"))
	if got := load(t, p); len(got) != 0 {
		t.Errorf("%v", got)
	}
	want := []Pin{{"//:a", "go:x@latest", "v1"}, {"//b:c", "line\nbreak \"q\"", "\x00\xff ä"}, {"", "", ""}, {"//:a", "go:x@latest", "v2"}, {"//:big", "r", strings.Repeat("x", 1<<20)}}
	for _, pin := range want {
		if err := p.Append(pin); err != nil {
			t.Fatal(err)
		}
	}
	if got := load(t, p); !slices.Equal(got, want) {
		t.Errorf("got %.200q", fmt.Sprint(got))
	}
	for range 2 {
		if err := p.Clear(); err != nil {
			t.Fatal(err)
		}
	}
	if got := load(t, p); len(got) != 0 {
		t.Errorf("after Clear: %v", got)
	}
}

func TestATornLineHarmsNoOther(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pins")
	p := NewPins(vfs.OS, name)
	a, b, c := Pin{"//:a", "1", "x"}, Pin{"//:b", "2", "y"}, Pin{"//:c", "3", "z"}
	if err := p.Append(a); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Append(b); err != nil {
		t.Fatal(err)
	}
	both, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for cut := len(first); cut < len(both)-1; cut++ {
		if err := os.WriteFile(name, both[:cut], 0o666); err != nil {
			t.Fatal(err)
		}
		if err := p.Append(c); err != nil {
			t.Fatal(err)
		}
		if got := load(t, p); !slices.Equal(got, []Pin{a, c}) {
			t.Errorf("cut at %d: %v", cut, got)
		}
	}
	for i := range first {
		bad := bytes.Clone(both)
		bad[i] ^= 1
		if err := os.WriteFile(name, bad, 0o666); err != nil {
			t.Fatal(err)
		}
		if got := load(t, p); !slices.Equal(got, []Pin{b}) && !slices.Equal(got, []Pin{a, b}) {
			t.Errorf("byte %d flipped: %v", i, got)
		}
	}
}

func TestPinsOfManyAtOnce(t *testing.T) {
	p := NewPins(vfs.OS, filepath.Join(t.TempDir(), "pins"))
	var g errgroup.Group
	for i := range 8 {
		g.Go(func() error {
			for j := range 50 {
				if err := p.Append(Pin{"//:t", fmt.Sprint(i, j), strings.Repeat("a", j*100)}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := load(t, p); len(got) != 400 {
		t.Errorf("%d pins", len(got))
	}
}

func FuzzParsePin(f *testing.F) {
	f.Add(`"a" "b" "c"`)
	f.Add("`a` 'b' \"c\" ")
	f.Fuzz(func(t *testing.T, line string) { _, _ = parsePin(line + "\n") })
}

func TestSpool(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	s, err := NewSpool(vfs.OS, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the spool has a name: %v, %v", left, err)
	}
	var g errgroup.Group
	for i := range 8 {
		g.Go(func() error {
			row := bytes.Repeat([]byte{byte(i)}, 100*i)
			for range 100 {
				at, err := s.Append(row)
				if err != nil {
					return err
				}
				got := make([]byte, len(row))
				if _, err := s.ReadAt(got, at); err != nil || !bytes.Equal(got, row) {
					return fmt.Errorf("another row came back: %w", err)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	if s.Size() != 100*100*28 {
		t.Errorf("size %d", s.Size())
	}
	if _, err := s.ReadAt(make([]byte, 2), s.Size()-1); err == nil {
		t.Error("read beyond the end")
	}
}

// noMachineID is a machine without /etc/machine-id, or with the given one.
type noMachineID struct {
	vfs.FS
	id string
}

func (f noMachineID) ReadFile(name string) ([]byte, error) {
	if name != machineIDFile {
		return f.FS.ReadFile(name)
	}
	if f.id == "" {
		return nil, fs.ErrNotExist
	}
	return []byte(f.id), nil
}

func TestMachineIsStable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	machine := func(id string) string {
		m, err := Machine(noMachineID{vfs.OS, id}, dir)
		if err != nil || !isID(m) {
			t.Fatalf("%q, %v", m, err)
		}
		return m
	}
	random := machine("")
	if again := machine(""); again != random {
		t.Errorf("%s, then %s", random, again)
	}
	if m := machine("uninitialized\n"); m != random {
		t.Errorf("no machine id was taken for one: %s", m)
	}
	const id = "0123456789abcdef0123456789abcdef"
	if m := machine(id + "\n"); m == random || m == id || m != machine(id+"\n") {
		t.Errorf("from the machine id: %s", m)
	}
	if err := os.WriteFile(filepath.Join(dir, "machine"), []byte("torn"), 0o666); err != nil {
		t.Fatal(err)
	}
	if m := machine(""); m != machine("") {
		t.Error("a torn id is not replaced")
	}
}
