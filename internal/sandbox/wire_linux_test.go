package sandbox

import (
	"errors"
	"io"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzMessages decodes any bytes: a helper talks to whoever started it, but a command may have got hold of it.
func FuzzMessages(f *testing.F) {
	o := &order{Argv: []string{"a", ""}, Env: []string{"X=1"}, Dir: "/build/work", Path: "/bin"}
	f.Add(o.encode())
	f.Add((&world{Root: "run-1", Tools: []string{"t"}, Script: true, Memory: true, Layers: []string{"layer-1"}, Trees: []string{"src", "t"}}).encode())
	f.Add((&report{Errno: 2, Text: "no", Status: 256, MaxRSS: -1}).encode())
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, err := decodeOrder(b); err == nil {
			if again, err := decodeOrder(o.encode()); err != nil || !reflect.DeepEqual(o, again) {
				t.Errorf("%+v became %+v, %v", o, again, err)
			}
		}
		if w, err := decodeWorld(b); err == nil {
			if again, err := decodeWorld(w.encode()); err != nil || !reflect.DeepEqual(w, again) {
				t.Errorf("%+v became %+v, %v", w, again, err)
			}
		}
		if r, err := decodeReport(b); err == nil {
			if again, err := decodeReport(r.encode()); err != nil || *r != *again {
				t.Errorf("%+v became %+v, %v", r, again, err)
			}
		}
	})
}

func TestMessagesTravelWithFiles(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[1])
	body := make([]byte, 3<<20)
	body[len(body)-1] = 7
	sent := make(chan error, 1)
	go func() {
		sent <- errors.Join(send(pair[0], msgRun, body, 0, 1, 2), send(pair[0], msgSignal, []byte{signalKill}), unix.Close(pair[0]))
	}()
	kind, got, files, err := receive(pair[1])
	if err != nil || kind != msgRun || len(got) != len(body) || got[len(got)-1] != 7 || len(files) != 3 {
		t.Errorf("kind %d, %d bytes, files %v, %v", kind, len(got), files, err)
	}
	for _, fd := range files {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("a file that would be inherited: %v, %v", flags, err)
		}
		_ = unix.Close(fd)
	}
	if kind, got, _, err := receive(pair[1]); err != nil || kind != msgSignal || len(got) != 1 {
		t.Errorf("kind %d, %v, %v", kind, got, err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if _, _, _, err := receive(pair[1]); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	if err := send(pair[1], msgRun, make([]byte, maxMessage+1)); !errors.Is(err, unix.E2BIG) {
		t.Errorf("too large: %v", err)
	}
}
