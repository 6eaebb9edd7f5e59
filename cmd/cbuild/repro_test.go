package main_test

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// On a terminal the shell has one of its own: it is interactive, knows the size, and Ctrl-C ends what runs in it and not cbuild.
func TestReproOnATerminal(t *testing.T) {
	for _, class := range []string{"full", "none"} {
		w := newWorld(t, nil, map[string]string{"BUILD.hcl": "run \"plain\" {\n  command = [\"true\"]\n}\n"})
		master, slave, err := pty.Open()
		if err != nil {
			t.Skipf("SKIPPED: no pseudo-terminals: %v", err)
		}
		defer master.Close()
		if err := pty.Setsize(master, &pty.Winsize{Rows: 33, Cols: 99}); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(binary, "repro", "--sandbox", class, "plain") //nolint:noctx // the shell ends
		cmd.Dir, cmd.Env = w.dir, w.environ("TERM=xterm")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		slave.Close()
		var shown screen
		var reading sync.WaitGroup
		reading.Go(func() {
			buf := make([]byte, 4096)
			for {
				n, err := master.Read(buf)
				_, _ = shown.Write(buf[:n])
				if err != nil {
					return
				}
			}
		})
		comes := func(text string, within time.Duration) bool {
			for end := time.Now().Add(within); !strings.Contains(shown.String(), text); time.Sleep(5 * time.Millisecond) {
				if time.Now().After(end) {
					return false
				}
			}
			return true
		}
		await := func(text string) {
			t.Helper()
			if !comes(text, 20*time.Second) {
				t.Fatalf("%s: no %q in %q", class, text, shown.String())
			}
		}
		typed := func(text string) {
			t.Helper()
			if _, err := master.WriteString(text); err != nil {
				t.Fatal(err)
			}
		}
		await("The shell is /bin/sh.")
		await("\n" + map[bool]string{true: "# ", false: "$ "}[class == "none" && os.Getuid() == 0])
		typed("echo is$((40+2)); stty size; ps -o sid= -p $$ >/dev/null && echo $-\r")
		await("is42")
		await("33 99")
		typed("sleep 1000; echo not here; \r")
		typed("echo waits\r")
		time.Sleep(200 * time.Millisecond) // until it sleeps; if that takes longer, Ctrl-C ends a line, too
		typed("\x03")
		typed("\x03")
		// What is typed before the shell has seen Ctrl-C is thrown away with the line.
		for tries := 0; tries < 20; tries++ {
			typed("echo o$((1))k\r")
			if comes("o1k", time.Second) {
				break
			}
		}
		await("o1k")
		typed("exit 5\r")
		err = cmd.Wait()
		reading.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 5 {
			t.Errorf("%s: status %d, %v: %s", class, code, err, shown.String())
		}
		if strings.Contains(shown.String(), "\nnot here") || strings.Contains(shown.String(), "job control turned off") {
			t.Errorf("%s: %s", class, shown.String())
		}
		if _, err := os.Stat(w.dir + "/cbuild-out"); err == nil {
			t.Errorf("%s: something was published", class)
		}
	}
}
