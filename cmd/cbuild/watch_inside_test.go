package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// heard is what was said so far.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(p)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

// When watch has ended, no goroutine of it is left, after builds that passed, that failed, and that could not begin.
func TestWatchLeavesNoGoroutine(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	home := t.TempDir()
	t.Chdir(t.TempDir())
	write := func(text string) {
		err := os.WriteFile("BUILD.hcl~", []byte(text), 0o600)
		if err == nil {
			err = os.Rename("BUILD.hcl~", "BUILD.hcl") // at once: an empty file would be built, too
		}
		if err != nil {
			t.Error(err)
		}
	}
	const file = "cbuild {}\n\nwrite \"one\" {\n  content = %s\n}\n"
	write(fmt.Sprintf(file, `"0"`))
	var said heard
	c := &cli{
		args: []string{"watch"}, stdout: &output{to: &bytes.Buffer{}}, stderr: &said, caught: make(chan os.Signal, 2),
		env: func(name string) (string, bool) {
			if name == "HOME" {
				return home, true
			}
			return "", false
		},
	}
	var running sync.WaitGroup
	status := -1
	running.Go(func() { status = c.main() })
	waits := func(n int) {
		for end := time.Now().Add(4 * time.Minute); strings.Count(said.String(), "watching ") < n; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("it never waited for changes for the %d. time: %s", n, said.String())
			}
		}
	}
	waits(1)
	for i, content := range []string{`"1"`, `file("nothing")`, `nobody.x`, `"2"`} {
		write(fmt.Sprintf(file, content))
		waits(i + 2)
	}
	c.caught <- os.Interrupt
	running.Wait()
	if status != exitInterrupt {
		t.Errorf("status %d, want %d: %s", status, exitInterrupt, said.String())
	}
	if data, err := os.ReadFile(filepath.Join(outName, "one", "one")); err != nil || string(data) != "2" {
		t.Errorf("the last output is %q, %v", data, err)
	}
}
