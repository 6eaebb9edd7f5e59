package sandbox

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cbuild/cas/castest"
	"cbuild/engine"
	"cbuild/internal/checkout"
)

// TestCommandsEndWithUs kills a process while it executes a command, and looks for the command.
func TestCommandsEndWithUs(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: only Linux ends a process with its parent")
	}
	if dir := os.Getenv("CBUILD_TEST_ORPHAN"); dir != "" {
		syscall.Umask(0o022)
		s := castest.NewMemory()
		n := New(s, checkout.NewShared(s, dir+"/trees"), dir+"/runs")
		n.Execute(context.Background(), &engine.Command{Argv: []string{"sh", "-c", "echo $$ > " + dir + "/pid; sleep 1000 & wait"}, Env: []string{"PATH=/usr/bin:/bin"}, Timeout: 20 * time.Minute})
		return
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestCommandsEndWithUs$")
	cmd.Env = append(os.Environ(), "CBUILD_TEST_ORPHAN="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		data, _ := os.ReadFile(dir + "/pid")
		if pid, _ = strconv.Atoi(strings.TrimSpace(string(data))); pid > 0 {
			break
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	if pid == 0 {
		t.Fatal("the command did not start")
	}
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
	}
	syscall.Kill(-pid, syscall.SIGKILL)
	t.Error("the command outlived the process that ran it")
}
