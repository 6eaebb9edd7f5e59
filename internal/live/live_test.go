package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// building is a build of which anybody may ask anything, while its gate is open.
type building struct {
	name  string
	asked chan struct{} // is told of each question
	gate  chan struct{} // an answer takes until it is closed
}

func (b *building) State() any { return map[string]string{"name": b.name} }

func (b *building) Snapshot(ctx context.Context, of string) (*Snapshot, error) {
	switch of {
	case "none":
		return nil, nil
	case "bad":
		return nil, errors.New("it broke")
	case "slow":
		b.asked <- struct{}{}
		<-b.gate
		return nil, ctx.Err()
	}
	return &Snapshot{Pack: []byte(of), Chunks: [][]byte{nil, []byte("x"), bytes.Repeat([]byte("y"), 1<<20)}}, nil
}

func listen(t *testing.T, dir, id string) *Listener {
	t.Helper()
	l, err := Listen(dir, id, &building{name: id})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// looking returns the name of the build that Find finds, "" for none.
func looking(t *testing.T, dir string) string {
	t.Helper()
	v, err := Find(t.Context(), dir)
	if errors.Is(err, ErrNone) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	v.patience = time.Minute // this machine may be busy
	var s struct{ Name string }
	if err := v.State(t.Context(), &s); err != nil || s.Name != v.ID {
		t.Fatalf("the build %s says %q, %v", v.ID, s.Name, err)
	}
	return v.ID
}

// The newest build that runs is found, however long the name of the directory is.
func TestFind(t *testing.T) {
	for _, dir := range []string{"short", strings.Repeat("long/", 40)} {
		dir := filepath.Join(t.TempDir(), dir)
		if got := looking(t, dir); got != "" {
			t.Errorf("found %s where nothing is", got)
		}
		first, second := listen(t, dir, "1"), listen(t, dir, "2")
		if got := looking(t, dir); got != "2" {
			t.Errorf("found %q", got)
		}
		if err := second.Close(); err != nil {
			t.Fatal(err)
		}
		if got := looking(t, dir); got != "1" {
			t.Errorf("found %q after the newer one", got)
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}

// What a killed build left is removed; the socket of one that only begins is not, nor what is no socket of a build.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"new.sock", "old.sock", "note"} {
		path := filepath.Join(dir, name)
		if name == "note" {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		at, done, err := address(path)
		if err != nil {
			t.Fatal(err)
		}
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: at}) // and nobody listens
		done()
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, age := range map[string]time.Duration{"new": -time.Hour, "old": time.Hour} { // so that new is new however long this takes
		made := time.Now().Add(-age)
		if err := os.Chtimes(filepath.Join(dir, name+socketSuffix), made, made); err != nil {
			t.Fatal(err)
		}
	}
	if got := looking(t, dir); got != "" {
		t.Errorf("found %s", got)
	}
	var left []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if fmt.Sprint(left) != "[new.sock note]" {
		t.Errorf("left: %v", left)
	}
}

func TestSnapshots(t *testing.T) {
	dir := t.TempDir()
	l := listen(t, dir, "1")
	defer l.Close()
	v, err := Find(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	s, err := v.Snapshot(t.Context(), "//a:b[ä&of=x]")
	if err != nil || string(s.Pack) != "//a:b[ä&of=x]" || len(s.Chunks) != 3 || len(s.Chunks[0]) != 0 || len(s.Chunks[2]) != 1<<20 {
		t.Errorf("%v, %v", s, err)
	}
	for of, want := range map[string]string{"none": "there is nothing yet", "bad": "it broke"} {
		if _, err := v.Snapshot(t.Context(), of); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", of, err)
		}
	}
}

// When a build is closed, nobody asks it anything any more: all that it holds may go.
func TestCloseWaitsForAnswers(t *testing.T) {
	b := &building{asked: make(chan struct{}), gate: make(chan struct{})}
	dir := t.TempDir()
	l, err := Listen(dir, "1", b)
	if err != nil {
		t.Fatal(err)
	}
	v, err := Find(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	var asking sync.WaitGroup
	asking.Go(func() {
		if _, err := v.Snapshot(t.Context(), "slow"); err == nil {
			t.Error("an answer of a build that is closed")
		}
	})
	<-b.asked
	closed := make(chan error, 1)
	asking.Go(func() { closed <- l.Close() })
	select {
	case err := <-closed:
		t.Errorf("closed (%v) while it answers", err)
	case <-time.After(100 * time.Millisecond): // of no meaning but that it waits
		close(b.gate)
		if err := <-closed; err != nil {
			t.Error(err)
		}
	}
	asking.Wait()
}

// A build that is stopped is not waited for, except for a while.
func TestStoppedBuild(t *testing.T) {
	dir := t.TempDir()
	at, done, err := address(filepath.Join(dir, "1"+socketSuffix))
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	socket, err := net.Listen("unix", at) //nolint:noctx // it does not wait
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	v, err := Find(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	v.patience = 100 * time.Millisecond
	if err := v.State(t.Context(), new(any)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("its state: %v", err)
	}
}

// What is read of a snapshot is what was written, or an error.
func FuzzReadSnapshot(f *testing.F) {
	var whole bytes.Buffer
	if err := (&Snapshot{Pack: []byte("pack"), Chunks: [][]byte{nil, []byte("x")}}).write(&whole); err != nil {
		f.Fatal(err)
	}
	f.Add(whole.Bytes())
	f.Add(whole.Bytes()[:9])
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := readSnapshot(bytes.NewReader(data))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := s.write(&again); err != nil || !bytes.HasPrefix(data, again.Bytes()) {
			t.Errorf("%v: %q was read from %q", err, again.Bytes(), data)
		}
	})
}
