package ui

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const bundler = "../../../internal/tools"

// TestBundleIsMadeFromTheSources makes dist once more, somewhere else, and wants the same bytes.
func TestBundleIsMadeFromTheSources(t *testing.T) {
	dir := sources(t)
	bundle(t, dir)
	for _, name := range []string{"app.js", "app.css", "NOTICES.txt"} {
		want, err := os.ReadFile(filepath.Join(dir, "dist", name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("dist", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("dist/%s is not what its sources make (%d bytes, want %d): go -C internal/tools run ./bundle ../../rules/report/ui", name, len(got), len(want))
		}
	}
}

// TestScript runs the tests of the page's script.
func TestScript(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("SKIPPED: the tests of the page's script need node: ", err)
	}
	out := t.TempDir()
	bundle(t, "-tests", out, sources(t))
	files, err := filepath.Glob(filepath.Join(out, "*.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command(node, append([]string{"--test", "--test-reporter=spec"}, files...)...).CombinedOutput()
	if err != nil {
		_, failing, _ := bytes.Cut(said, []byte("failing tests:"))
		t.Fatalf("node --test: %v\n%s", err, failing)
	}
	if !bytes.Contains(said, []byte("ℹ fail 0\n")) || bytes.Contains(said, []byte("ℹ pass 0\n")) {
		t.Fatalf("no tests ran:\n%s", said)
	}
}

// TestScriptFitsIntoAPage is about texts that would end a script's element, or begin a comment in it.
func TestScriptFitsIntoAPage(t *testing.T) {
	for _, bad := range []string{"</script", "<!--"} {
		if strings.Contains(strings.ToLower(Script), bad) {
			t.Errorf("the script contains %s", bad)
		}
	}
	if strings.Contains(strings.ToLower(Style), "</style") {
		t.Error("the style contains </style")
	}
	if i := strings.IndexFunc(Script+Style, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r > '~' }); i >= 0 {
		t.Errorf("byte %d of script and style is not printable ASCII", i)
	}
	if strings.Contains(Style, "url(") {
		t.Error("the style loads something")
	}
}

// TestTextStaysText keeps ways out of our sources in which a text could become markup or code. Preact has one, too; it is among them.
func TestTextStaysText(t *testing.T) {
	files, err := filepath.Glob("src/*.ts*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, unsafe := range []string{"innerHTML", "InnerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "createContextualFragment", "srcdoc", "eval(", "Function(", "import("} {
			if bytes.Contains(source, []byte(unsafe)) {
				t.Errorf("%s uses %s", name, unsafe)
			}
		}
	}
}

// TestLockNamesNoRegistry keeps the place where somebody once ran npm install out of the lock file.
func TestLockNamesNoRegistry(t *testing.T) {
	lock, err := os.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(lock, []byte(`"resolved"`)) {
		t.Error("package-lock.json has resolved addresses: npm install with this directory's .npmrc")
	}
	if !bytes.Contains(lock, []byte(`"integrity": "sha512-`)) {
		t.Error("package-lock.json has no checksums")
	}
}

// sources copies what dist is made from to a directory of the test's own, with the packages that the lock file names.
func sources(t *testing.T) string {
	t.Helper()
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("SKIPPED: the page's packages need npm: ", err)
	}
	dir := t.TempDir()
	for _, name := range []string{"src", "test"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"package.json", "package-lock.json", ".npmrc"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	ci := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--prefer-offline", "--fetch-retries=1", "--fetch-timeout=20000")
	ci.Dir, ci.WaitDelay = dir, time.Second
	if said, err := ci.CombinedOutput(); err != nil {
		if ours(said) {
			t.Fatalf("npm ci: %v\n%s", err, said)
		}
		t.Skipf("SKIPPED: npm brings no packages here: %v\n%s", err, said)
	}
	return dir
}

// ours tells what is wrong with our files, the lock file above all, from trouble with the machine and its network, which has many names: a registry may
// be away, or refuse.
func ours(said []byte) bool {
	for _, code := range []string{"EINTEGRITY", "EUSAGE", "EJSONPARSE", "ETARGET"} {
		if bytes.Contains(said, []byte(code)) {
			return true
		}
	}
	return false
}

func bundle(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"-C", bundler, "run", "./bundle"}, args...)...)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("bundle: %v\n%s", err, said)
	}
}
