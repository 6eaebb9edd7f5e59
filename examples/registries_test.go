package examples

import (
	"bytes"
	"debug/elf"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cbuild/rules/registry/fakes"
)

// These examples are about real packages, of registries as the machine is configured to use them.

// reaches skips the test loudly if a target, with all that it downloads, can't be had for want of a network or of the configuration.
func (w *world) reaches(what string, args ...string) {
	w.t.Helper()
	if testing.Short() {
		w.t.Skip("SKIPPED: nothing is downloaded with -short")
	}
	cmd := exec.Command(binary, args...) //nolint:noctx // bounded by the test's own time
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "CBUILD_CAS=", "XDG_CACHE_HOME="+filepath.Join(w.home, "cache"), "XDG_STATE_HOME="+filepath.Join(w.home, "state"))
	said, err := cmd.CombinedOutput()
	if err == nil {
		return
	}
	if cmd.ProcessState.ExitCode() == 3 && (bytes.Contains(said, []byte("Cannot reach")) || bytes.Contains(said, []byte("where are "))) {
		w.t.Skipf("SKIPPED: %s can't be reached:\n%s", what, said)
	}
	w.t.Fatalf("%v\n%s", err, said)
}

// keep leaves of a file of the workspace only its first lines, unless CBUILD_EXAMPLES is "full".
func (w *world) keep(name string, lines int) {
	w.t.Helper()
	if os.Getenv("CBUILD_EXAMPLES") == "full" {
		return
	}
	all := strings.SplitAfter(w.read(name), "\n")
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(strings.Join(all[:lines], "")), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// classes returns how many rows of the report have which class, and the class of each.
func (w *world) classes() (counts map[string]int, rows map[string]string) {
	w.t.Helper()
	var results struct {
		Rows []struct{ Key, Class string }
	}
	if err := json.Unmarshal([]byte(w.read("cbuild-out/report/results.json")), &results); err != nil {
		w.t.Fatal(err)
	}
	counts, rows = map[string]int{}, map[string]string{}
	for _, r := range results.Rows {
		counts[r.Class]++
		rows[r.Key] = r.Class
	}
	return counts, rows
}

// finishedOf counts the instances of a target.
func finishedOf(all []event, target string) (n int) {
	for _, e := range all {
		if e.Target == target {
			n++
		}
	}
	return n
}

// What three versions of esbuild write differs where the report says so, and only there; nothing is done again.
func TestNPM(t *testing.T) {
	needs(t, "find", "sort", "xargs")
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("SKIPPED: what the three versions write is known for linux on amd64")
	}
	w := newWorld(t)
	w.copyAll("npm")
	w.keep("packages.txt", 8)
	w.reaches("the registry of npm", "esbuild")

	all, _ := w.run(binary, "report")
	counts, rows := w.classes()
	t.Logf("%d packages: %v", len(rows), counts)
	want := map[string]string{
		"debug@4.4.3": "changed", "express@5.3.0": "changed", "picomatch@4.0.7": "changed", "qs@6.17.1": "changed", "semver@7.8.6": "changed",
		"accepts@2.0.0": "same-pass", "ms@2.1.3": "same-pass", "vary@1.1.2": "same-pass",
	}
	for key, class := range want {
		if rows[key] != class {
			t.Errorf("%s is %q, want %q", key, rows[key], class)
		}
	}
	if len(rows) != len(want) && (len(rows) < 100 || counts["changed"] < 40) {
		t.Errorf("%d rows, %v", len(rows), counts)
	}
	if again, _ := w.run(binary, "report"); len(executed(again)) != 0 || rowsOf(again) != rowsOf(all) {
		t.Errorf("again: executed %v", executed(again))
	}

	// By hand: the files that were written are the same exactly where the report says so.
	for key, class := range want {
		w.run(binary, "minified["+key+"][*]")
		at := filepath.Join(w.dir, "cbuild-out", "minified", key)
		same := exec.Command("diff", "-r", filepath.Join(at, "0.17.0"), filepath.Join(at, "0.25.0")).Run() == nil && //nolint:noctx // a moment
			exec.Command("diff", "-r", filepath.Join(at, "0.17.0"), filepath.Join(at, "0.28.2")).Run() == nil //nolint:noctx // a moment
		if same != (class == "same-pass") {
			t.Errorf("%s: the files are equal: %v, but the report says %s", key, same, class)
		}
	}

	// Without one of them, nothing else is done again.
	w.edit("packages.txt", "debug\n", "")
	fewer, _ := w.run(binary, "report")
	ran := executed(fewer)
	if !slices.Equal(ran, []string{"//:report "}) || finishedOf(fewer, "//:minified") != 3*(len(rows)-1) {
		t.Errorf("without debug: %d runs, executed %v", finishedOf(fewer, "//:minified"), ran)
	}
}

// How the programs of Debian are hardened is what their ELF headers say; a filter that is made narrower redoes nothing.
func TestDebian(t *testing.T) {
	needs(t, "readelf", "od", "find", "grep")
	w := newWorld(t)
	w.copyAll("debian")
	below, narrower := "below=7000", "below=6000"
	if os.Getenv("CBUILD_EXAMPLES") == "full" {
		below, narrower = "below=19000", "below=10000"
	}
	w.reaches("the archive of Debian", "packages", below)

	all, _ := w.run(binary, "report", "deb", "hardening", below)
	n := finishedOf(all, "//:hardening")
	counts := w.columns()
	t.Logf("%d packages: %v", n, counts)
	if n < 5 || below == "below=19000" && n < 250 || counts["files"] < n/2 {
		t.Errorf("%d packages, %v", n, counts)
	}
	for _, e := range all {
		if e.Target != "//:hardening" {
			continue
		}
		if got, want := w.read("cbuild-out/hardening/"+escaped(e.Instance[0])+"/hardening.csv"), hardening(t, filepath.Join(w.dir, "cbuild-out", "deb", escaped(e.Instance[0]), "tree")); got != want {
			t.Errorf("%s: the run says\n%sand its headers\n%s", e.Instance[0], got, want)
		}
	}
	if again, _ := w.run(binary, "report", below); len(executed(again)) != 0 || rowsOf(again) != rowsOf(all) {
		t.Errorf("again: executed %v", executed(again))
	}
	fewer, _ := w.run(binary, "report", narrower)
	if ran := executed(fewer); !slices.Equal(ran, []string{"//:report "}) || finishedOf(fewer, "//:hardening") >= n {
		t.Errorf("with a narrower filter: %d of %d packages, executed %v", finishedOf(fewer, "//:hardening"), n, ran)
	}
}

// columns sums up the table of the report: how many files, and how many packages are not hardened in which way.
func (w *world) columns() map[string]int {
	w.t.Helper()
	rows, err := csv.NewReader(strings.NewReader(w.read("cbuild-out/report/results.csv"))).ReadAll()
	if err != nil {
		w.t.Fatal(err)
	}
	counts := map[string]int{}
	for _, row := range rows[1:] {
		for i, name := range rows[0] {
			if files, err := strconv.Atoi(row[i]); name == "files" && err == nil {
				counts[name] += files
			} else if row[i] == "not all" {
				counts[name+" not all"]++
			}
		}
	}
	return counts
}

// escaped is how a key stands in cbuild-out.
func escaped(key string) string {
	var b strings.Builder
	for _, c := range []byte(key) {
		if strings.IndexByte("abcdefghijklmnopqrstuvwxyz0123456789._@-", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// hardening says of an unpacked package what harden.sh should, by means of debug/elf.
func hardening(t *testing.T, dir string) string {
	t.Helper()
	facts := map[string]string{} // by path
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := elf.Open(path)
		if err != nil {
			return nil //nolint:nilerr // no ELF file
		}
		defer f.Close()
		facts[strings.TrimPrefix(path, dir)] = elfFacts(f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var text string
	for _, path := range slices.Sorted(maps.Keys(facts)) {
		text += path + "," + facts[path] + "\n"
	}
	return text
}

func elfFacts(f *elf.File) string {
	yes := map[bool]string{true: "yes", false: "no"}
	relro, nx, canary := "no", false, false
	for _, p := range f.Progs {
		if p.Type == elf.PT_GNU_RELRO {
			relro = "partial"
		}
		if p.Type == elf.PT_GNU_STACK {
			nx = p.Flags&elf.PF_X == 0
		}
	}
	now := func(tag elf.DynTag, bit uint64) bool {
		values, _ := f.DynValue(tag)
		return slices.ContainsFunc(values, func(v uint64) bool { return bit == 0 || v&bit != 0 })
	}
	if relro == "partial" && (now(elf.DT_BIND_NOW, 0) || now(elf.DT_FLAGS, uint64(elf.DF_BIND_NOW)) || now(elf.DT_FLAGS_1, uint64(elf.DF_1_NOW))) {
		relro = "full"
	}
	symbols, _ := f.DynamicSymbols()
	for _, s := range symbols {
		canary = canary || strings.HasPrefix(s.Name, "__stack_chk_fail")
	}
	return relro + "," + yes[nx] + "," + yes[f.Type == elf.ET_DYN] + "," + yes[canary]
}

// fakeCrates are crates that are made up, and what facts.awk should find in each.
var fakeCrates = map[string]struct {
	files map[string]string
	facts string // edition, dependencies, lines, unsafe
}{
	"plain": {map[string]string{"Cargo.toml": "[package]\nname = \"plain\"\n", "src/lib.rs": "pub fn one() -> u8 {\n    1\n}\n"}, "2015,0,3,0"},
	"wild": {map[string]string{
		"Cargo.toml": "[package]\nname = \"wild\"\nedition = \"2021\"\n\n[dependencies]\nplain = \"1\"\nother = { version = \"1\" }\n\n[dependencies.more]\nversion = \"1\"\n\n[dev-dependencies]\ntest = \"1\"\n",
		"src/lib.rs": "// unsafe is not meant here\npub unsafe fn two() {}\npub fn f() { unsafe { two() } }\nlet unsafely = 1;\n",
		"src/a/b.rs": "unsafe impl Send for X {}\n",
	}, "2021,3,5,3"},
	"edge": {map[string]string{"Cargo.toml": "[package]\nedition=\"2024\"\n", "build.rs": "fn main() {}\n", "src/lib.rs": "\n"}, "2024,0,2,0"},
}

// What the report says of crates that are made up is what is in them; of a new version only that is looked at.
func TestCrates(t *testing.T) {
	needs(t, "awk", "find", "sort", "xargs")
	w := newWorld(t)
	w.copyAll("crates")
	f := fakes.New()
	server := f.Serve()
	defer server.Close()
	for name, c := range fakeCrates {
		f.Add("crates.io", fakes.Package{Name: name, Version: "1.0.0", Files: c.files}, fakes.Package{Name: name, Version: "2.0.0", Yanked: "yes"})
	}
	for _, v := range f.Env(server.URL) {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "crates.txt"), []byte(strings.Join(slices.Sorted(maps.Keys(fakeCrates)), "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	all, _ := w.run(binary, "report")
	rows, err := csv.NewReader(strings.NewReader(w.read("cbuild-out/report/results.csv"))).ReadAll()
	if err != nil || len(rows) != 1+len(fakeCrates) {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, row := range rows[1:] {
		name := strings.TrimSuffix(row[0], "-1.0.0")
		if got := strings.Join(row[len(row)-4:], ","); got != fakeCrates[name].facts {
			t.Errorf("%s: %s, want %s", row[0], got, fakeCrates[name].facts)
		}
	}
	if again, _ := w.run(binary, "report"); len(executed(again)) != 0 || rowsOf(again) != rowsOf(all) {
		t.Errorf("again: executed %v", executed(again))
	}
	f.Add("crates.io", fakes.Package{Name: "edge", Version: "1.0.1", Files: fakeCrates["edge"].files})
	update := exec.Command(binary, "update", "crates") //nolint:noctx // a moment
	update.Dir, update.Env = w.dir, append(os.Environ(), "CBUILD_CAS=", "XDG_CACHE_HOME="+filepath.Join(w.home, "cache"), "XDG_STATE_HOME="+filepath.Join(w.home, "state"))
	if out, err := update.CombinedOutput(); err != nil || !strings.Contains(string(out), "edge-1.0.1") {
		t.Errorf("update: %v\n%s", err, out)
	}
	after, _ := w.run(binary, "report")
	for _, name := range executed(after) {
		if name != "//:report " && !strings.HasSuffix(name, " edge-1.0.1") {
			t.Errorf("after an update executed %s", name)
		}
	}
}

// The same with the real ones, where they can be reached.
func TestCratesOfTheRealRegistry(t *testing.T) {
	needs(t, "awk", "find", "sort", "xargs")
	w := newWorld(t)
	w.copyAll("crates")
	w.keep("crates.txt", 4)
	w.edit("BUILD.hcl", "versions = \"latest\" }", "versions = \"latest\" }\n  retries  = 0")
	w.reaches("crates.io", "crates")
	all, _ := w.run(binary, "report")
	if n := finishedOf(all, "//:count"); n < 4 {
		t.Errorf("%d crates", n)
	}
}
