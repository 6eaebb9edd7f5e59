package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
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
		await := func(text string) {
			t.Helper()
			defer func() {
				if t.Failed() {
					t.Logf("%s: %q", class, shown.String())
				}
			}()
			w.until(fmt.Sprintf("%q is shown", text), func() bool { return strings.Contains(shown.String(), text) })
		}
		typed := func(text string) {
			t.Helper()
			if _, err := master.WriteString(text); err != nil {
				t.Fatal(err)
			}
		}
		await("The shell is /bin/sh.")
		prompt := regexp.MustCompile(`\n(sh-\S*)?[` + map[bool]string{true: "#", false: "$"}[class == "none" && os.Getuid() == 0] + `] $`)
		w.until("there is a prompt", func() bool { return prompt.MatchString(shown.String()) })
		typed("echo is$((40+2)); stty size; ps -o sid= -p $$ >/dev/null && echo $-\r")
		await("is42")
		await("33 99")
		typed("echo sle$((1+1))ps; sleep 1000; echo not here; \r")
		await("sle2ps")
		// Between the line and its sleep Ctrl-C may reach nobody, and what is typed before the shell has seen it is thrown away with the line.
		for tries := 0; !strings.Contains(shown.String(), "o1k"); tries++ {
			if tries%50 == 0 {
				typed("\x03echo o$((1))k\r")
			}
			if time.Sleep(20 * time.Millisecond); tries > 5000 {
				t.Fatalf("%s: Ctrl-C ends nothing: %q", class, shown.String())
			}
		}
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
