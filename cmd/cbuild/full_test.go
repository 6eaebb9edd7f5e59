package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// inMount runs a shell script in a mount namespace of its own, where a tmpfs of the given size is mounted at dir.
func inMount(t *testing.T, w *world, dir, size, script string) (out string, status int) {
	t.Helper()
	head := "mount -t tmpfs -o size=" + size + " none " + dir + " || exit 99\ncd " + w.dir + "\n"
	cmd := exec.CommandContext(t.Context(), "unshare", "-rm", "sh", "-c", head+script)
	cmd.Env = append(os.Environ(), "HOME="+w.home, "XDG_CACHE_HOME="+w.home+"/cache", "XDG_STATE_HOME="+w.home+"/state", "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
	data, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Skipf("SKIPPED: no mount namespaces here: %v", err)
	}
	if cmd.ProcessState.ExitCode() == 99 || strings.Contains(string(data), "unshare failed") {
		t.Skipf("SKIPPED: nothing can be mounted here: %s", data)
	}
	return string(data), cmd.ProcessState.ExitCode()
}

const eightLarge = `
variable "from" { default = "/dev/urandom" }

run "each" {
  for_each = ["a", "b", "c", "d", "e", "f", "g", "h"]

  env    = { K = each.key, FROM = var.from }
  script = "head -c 100000 $FROM > $out"
  out    = "o"
}
`

// A full disk ends a build in good order, with what is finished kept, and the same command goes on when there is room.
func TestAFullDisk(t *testing.T) {
	w := newWorld(t, newFakeNetwork(), map[string]string{"BUILD.hcl": eightLarge})
	dir := t.TempDir()
	out, status := inMount(t, w, dir, "500k", `
cbuild --cas `+dir+`/cas -j1; echo "status $?"
cbuild --cas `+dir+`/cas cas verify; echo "verify $?"
mount -o remount,size=8m `+dir+`
cbuild --cas `+dir+`/cas -j1; echo "then $?"
cbuild --cas `+dir+`/cas cas verify; echo "verify $?"
`)
	t.Log(out)
	if status != 0 {
		t.Fatal(status)
	}
	first, rest, _ := strings.Cut(out, "status 3\n")
	for _, want := range []string{
		"Error: No space left in the store (", " used by the store)\n", "finished results are kept. Free space: cbuild cas gc --keep ",
	} {
		if !strings.Contains(first, want) {
			t.Errorf("the first build does not say %q", want)
		}
	}
	for _, want := range []string{"verify 0\n", "then 0\n", "8 pass (", " cached)"} {
		if !strings.Contains(rest, want) {
			t.Errorf("afterwards there is no %q", want)
		}
	}
	if strings.Contains(first, "panic") || strings.Contains(first, "attempt 3") {
		t.Error("it goes on although there is no space")
	}
}

// A store that becomes read-only serves what it has; what is new goes to a private place.
func TestAStoreThatIsMountedReadOnly(t *testing.T) {
	w := newWorld(t, newFakeNetwork(), map[string]string{"BUILD.hcl": eightLarge})
	dir := t.TempDir()
	out, _ := inMount(t, w, dir, "8m", `
cbuild --cas `+dir+`/cas -s; echo "first $?"
mount -o remount,ro `+dir+`
cbuild --cas `+dir+`/cas -s from=/dev/urandom; echo "again $?"
cbuild --cas `+dir+`/cas from=/dev/zero; echo "new $?"
cbuild --cas `+dir+`/cas from=/dev/zero; echo "new again $?"
`)
	t.Log(out)
	for _, want := range []string{"first 0\n", "again 0\n", "new 0\n", "new again 0\n", "can't be written: what is new goes to", "8 pass (8 cached)"} {
		if !strings.Contains(out, want) {
			t.Errorf("there is no %q", want)
		}
	}
}
