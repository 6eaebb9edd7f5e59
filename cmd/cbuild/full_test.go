package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// inMount runs a shell script in a mount namespace of its own, where a tmpfs of the given size is mounted at dir. The script remounts it as "none": else
// mount adds the options that it has already, among them its owner, whom only the machine knows by that number.
func inMount(t *testing.T, w *world, dir, size, script string) (out string, status int) {
	t.Helper()
	head := "mount -t tmpfs -o size=" + size + " none '" + dir + "' || exit 99\ncd '" + w.dir + "'\n"
	cmd := exec.CommandContext(t.Context(), "unshare", "-rm", "sh", "-c", head+script)
	cmd.Env = w.environ("PATH=" + filepath.Dir(binary) + ":" + os.Getenv("PATH"))
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
cbuild --cas '`+dir+`/cas' -j1; echo "status $?"
cbuild --cas '`+dir+`/cas' cas verify; echo "verify $?"
mount -o remount,size=8m none '`+dir+`'
cbuild --cas '`+dir+`/cas' -j1; echo "then $?"
cbuild --cas '`+dir+`/cas' cas verify; echo "verify $?"
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
cbuild --cas '`+dir+`/cas' -s; echo "first $?"
mount -o remount,ro none '`+dir+`'
cbuild --cas '`+dir+`/cas' -s from=/dev/urandom; echo "again $?"
cbuild --cas '`+dir+`/cas' from=/dev/zero; echo "new $?"
cbuild --cas '`+dir+`/cas' from=/dev/zero; echo "new again $?"
`)
	t.Log(out)
	for _, want := range []string{"first 0\n", "again 0\n", "new 0\n", "new again 0\n", "can't be written: what is new goes to", "8 pass (8 cached)"} {
		if !strings.Contains(out, want) {
			t.Errorf("there is no %q", want)
		}
	}
}

const oneOfSize = `
variable "size" { default = 1000 }

run "one" {
  env    = { SIZE = var.size }
  script = "head -c $SIZE /dev/zero > $out"
  out    = "o"
}
`

// Half a file is never published: where there is no room for what was made, what an earlier build published stays.
func TestNoRoomToPublish(t *testing.T) {
	w := newWorld(t, newFakeNetwork(), map[string]string{"BUILD.hcl": oneOfSize})
	dir := t.TempDir()
	out, _ := inMount(t, w, dir, "500k", `
cbuild -o '`+dir+`'; echo "first $?"
cbuild -o '`+dir+`' size=1000000; echo "second $?"
wc -c < '`+dir+`/one/o'
ls -A '`+dir+`'
mount -o remount,size=8m none '`+dir+`'
cbuild -o '`+dir+`' size=1000000; echo "third $?"
wc -c < '`+dir+`/one/o'
`)
	t.Log(out)
	_, second, _ := strings.Cut(out, "first 0\n")
	second, third, _ := strings.Cut(second, "second 3\n")
	if !strings.Contains(second, "cannot publish o: ") || strings.Contains(second, "one/o\n") {
		t.Error("it does not say that it published nothing")
	}
	if !strings.HasPrefix(third, "1000\none\n") {
		t.Error("what was published before is not there, or something else is")
	}
	if !strings.HasSuffix(third, "third 0\n1000000\n") || !strings.Contains(third, "(1 cached)") {
		t.Error("the same command does not go on when there is room")
	}
}

// Without room for the state of the workspace a build does what it can, and says what it could not keep.
func TestNoRoomForState(t *testing.T) {
	w := newWorld(t, newFakeNetwork(), map[string]string{"BUILD.hcl": oneOfSize})
	dir := t.TempDir()
	out, _ := inMount(t, w, dir, "100k", `
cbuild -s; echo "before $?"
head -c 200000 /dev/zero > '`+dir+`/fill'
XDG_STATE_HOME='`+dir+`' cbuild; echo "full $?"
rm '`+dir+`/fill'
XDG_STATE_HOME='`+dir+`' cbuild; echo "after $?"
`)
	t.Log(out)
	_, full, _ := strings.Cut(out, "before 0\n")
	full, after, ok := strings.Cut(full, "full ")
	if !ok || strings.Contains(full, "bug") || !strings.Contains(full, "no space left") {
		t.Error("it does not say that there is no space")
	}
	if !strings.Contains(after, "after 0\n") {
		t.Error("the same command does not go on when there is room")
	}
}
