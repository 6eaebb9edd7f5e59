package examples

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// A root file system is made of packages, and a program is compiled and run in it: it finds nothing of this machine, and once it
// is there nothing is downloaded again.
func TestRootfs(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: nothing is downloaded with -short")
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("SKIPPED: the packages are for linux/amd64")
	}
	needs(t, "ar", "tar", "xz", "awk")
	t.Setenv("DEBIAN_MIRROR", mirror(t))
	w := newWorld(t)
	w.copyAll("rootfs")
	all, stdout := w.run(binary, "greet", "--sandbox", "require")
	if stdout != "cbuild-out/greet/greeting.txt\n" {
		t.Errorf("printed %q", stdout)
	}
	if got, want := w.read("cbuild-out/greet/greeting.txt"), "A compiler of its own made this; /usr/bin/gcc is not here.\n"; got != want {
		t.Errorf("it says %q", got)
	}
	if done := executed(all); !slices.Contains(done, "//:compile ") || !slices.Contains(done, "//:greet ") {
		t.Errorf("executed %v", done)
	}
	all, _ = w.run(binary, "greet")
	checkExecuted(t, all)
	w.edit("hello.c", "made this", "made that")
	all, _ = w.run(binary, "greet")
	checkExecuted(t, all, "//:compile", "//:greet")
}

// mirror returns the address of a mirror of Debian that can be reached: that of the environment, or of this machine's apt.
func mirror(t *testing.T) string {
	t.Helper()
	addresses := []string{os.Getenv("DEBIAN_MIRROR")}
	files, _ := filepath.Glob("/etc/apt/sources.list*/*")
	for _, name := range append([]string{"/etc/apt/sources.list"}, files...) {
		data, _ := os.ReadFile(name)
		for line := range strings.Lines(string(data)) {
			for _, word := range strings.Fields(line) {
				if strings.HasPrefix(word, "http") && !strings.HasPrefix(line, "#") {
					addresses = append(addresses, strings.TrimSuffix(word, "/"))
				}
			}
		}
	}
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	for _, a := range addresses {
		req, err := http.NewRequestWithContext(ctx, http.MethodHead, a+"/dists/bookworm/main/binary-amd64/Packages.xz", nil)
		if a == "" || err != nil {
			continue
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return a
			}
		}
	}
	t.Skip("SKIPPED: no mirror of Debian can be reached: DEBIAN_MIRROR may name one")
	return ""
}
