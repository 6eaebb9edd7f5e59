package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestCapsOfLogs writes random pieces: what is small is kept whole, what is not loses only its middle, and everything is accounted for.
func TestCapsOfLogs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c capped
		var all bytes.Buffer
		pieces := rapid.SliceOfN(rapid.SampledFrom([]string{
			"a line\n", "\n", strings.Repeat("\n", 3000), strings.Repeat("x", 1<<20), strings.Repeat("x", 3<<20), "no end", strings.Repeat("a line of some length\n", 2500),
		}), 0, 12).Draw(t, "pieces")
		for _, p := range pieces {
			if n, err := c.Write([]byte(p)); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
			all.WriteString(p)
		}
		got := string(c.content())
		if all.Len() <= maxLogBytes/2 && bytes.Count(all.Bytes(), []byte("\n")) <= maxLogLines/2 && got != all.String() {
			t.Fatalf("a small log of %d bytes is kept as %d", all.Len(), len(got))
		}
		if len(got) > maxLogBytes+200 || strings.Count(got, "\n") > maxLogLines+3 {
			t.Fatalf("kept %d bytes, %d lines", len(got), strings.Count(got, "\n"))
		}
		head, rest, cut := strings.Cut(got, "\n… cbuild: ")
		if !cut {
			if got != all.String() {
				t.Fatal("something was dropped and not told")
			}
			return
		}
		var dropped int
		fmt.Sscanf(rest, "%d bytes dropped", &dropped)
		_, tail, _ := strings.Cut(rest, "dropped …\n")
		if !strings.HasPrefix(all.String(), head) || !strings.HasSuffix(all.String(), tail) || len(head)+dropped+len(tail) != all.Len() {
			t.Fatalf("%d + %d dropped + %d of %d bytes", len(head), dropped, len(tail), all.Len())
		}
	})
}

// TestMemoryOfLogs prints far more than is kept, as one line and as many.
func TestMemoryOfLogs(t *testing.T) {
	for name, piece := range map[string][]byte{
		"one line":    bytes.Repeat([]byte("x"), 32<<10),
		"short lines": bytes.Repeat([]byte("\n"), 32<<10),
	} {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var c capped
		var b bounded
		for range 100 << 20 / len(piece) {
			c.Write(piece)
			b.Write(piece)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > 2*maxLogBytes {
			t.Errorf("%s: %d bytes are held", name, held)
		}
		if made := after.TotalAlloc - before.TotalAlloc; made > 300<<20 {
			t.Errorf("%s: %d bytes were allocated for 100 MiB", name, made)
		}
		if got := c.content(); len(got) > maxLogBytes+100 || bytes.Count(got, []byte("\n")) > maxLogLines+2 {
			t.Errorf("%s: kept %d bytes", name, len(got))
		}
		if text, whole := b.content(); whole || len(text) > 0 {
			t.Errorf("%s: text of %d bytes", name, len(text))
		}
		runtime.KeepAlive(&c)
	}
}

// TestOutputIsTakenAfterTheDeadline has all output in the pipe before anybody gets to read it, which a busy machine can do, and a
// process that holds the pipe open.
func TestOutputIsTakenAfterTheDeadline(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	want := strings.Repeat("output\n", 8000)
	if _, err := w.WriteString(want); err != nil {
		t.Fatal(err)
	}
	if err := r.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := take(r, &got); err != nil || got.String() != want {
		t.Errorf("%d bytes of %d, %v", got.Len(), len(want), err)
	}
}

// TestTakeRestThatCannotBeKept has a full disk after the deadline: nobody waits for who holds the pipe.
func TestTakeRestThatCannotBeKept(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := w.WriteString("output"); err != nil {
		t.Fatal(err)
	}
	if err := r.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := take(r, noSpace{}); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
}

type noSpace struct{}

func (noSpace) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// TestFloodAfterTheDeadline has somebody who never stops writing.
func TestFloodAfterTheDeadline(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var flood sync.WaitGroup
	flood.Go(func() {
		for data := make([]byte, 64<<10); ; {
			if _, err := w.Write(data); err != nil {
				return
			}
		}
	})
	if err := r.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := take(r, io.Discard); err != nil {
		t.Error(err)
	}
	r.Close()
	flood.Wait()
	w.Close()
}

func BenchmarkLog(b *testing.B) {
	piece := bytes.Repeat([]byte("a line of some length\n"), 1500)
	b.SetBytes(int64(len(piece)))
	var c capped
	for b.Loop() {
		c.Write(piece)
	}
}
