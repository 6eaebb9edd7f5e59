package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cbuild/rules/registry/fakeproxy"
)

// fewModules and manyModules are on how many modules the experiments of this file are made: with many they are more than 400 actions.
const (
	fewModules  = 36
	manyModules = 138
)

// chaosNetwork is a registry with modules of six kinds and two toolchains, whose gofmt finds fault with different words.
func chaosNetwork(t *testing.T, modules int) *fakeNetwork {
	t.Helper()
	n := newFakeNetwork()
	t.Cleanup(n.close)
	words := []string{"fine", "ugly", "odd", "ugly odd", "old", "fine"}
	for i := range modules {
		path := chaosModule(i)
		files := map[string]string{"go.mod": "module " + path + "\n", "doc.go": fmt.Sprintf("package p // %d\n", i)}
		for _, word := range strings.Fields(words[i%len(words)]) {
			files["sub/"+word+".go"] = fmt.Sprintf("package sub // %s %d\n", word, i)
		}
		n.proxy.Add(fakeproxy.Module{Path: path, Version: "v1.0.0", Files: files})
	}
	for version, words := range map[string]string{"1.0": "ugly|old", "2.0": "ugly|odd"} {
		script := "#!/bin/sh\nsleep 0.02\ngrep -rlE '" + words + "' . | sort\n"
		n.proxy.Add(fakeproxy.Toolchain(version, runtime.GOOS, runtime.GOARCH, map[string]string{"bin/gofmt": script}))
	}
	return n
}

func chaosModule(i int) string { return fmt.Sprintf("example.com/chaos/m%02d", i) }

// chaosFiles is the workspace of the root of this repository, with the fake registry's modules and toolchains.
func chaosFiles(t *testing.T, modules int) map[string]string {
	t.Helper()
	build, err := os.ReadFile(filepath.Join(sourceDir, "..", "..", "BUILD.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(build)
	for _, name := range []string{"before", "after"} {
		old, rest, ok := strings.Cut(text, `variable "`+name+`" { default = "`)
		if !ok {
			t.Fatalf("BUILD.hcl has no variable %s", name)
		}
		_, rest, _ = strings.Cut(rest, `"`)
		text = old + `variable "` + name + `" { default = "` + map[string]string{"before": "1.0", "after": "2.0"}[name] + `"` + rest
	}
	var paths []string
	for i := range modules {
		paths = append(paths, chaosModule(i))
	}
	paths = append(paths, "example.com/chaos/missing")
	return map[string]string{"BUILD.hcl": text, "modules.txt": strings.Join(paths, "\n") + "\n"}
}

// truth is what must be the same however a build came to its end.
type truth struct {
	rows  string
	files map[string]string
}

// truth reads it after a build.
func (w *world) truth(all []event, modules int) truth {
	w.t.Helper()
	tr := truth{files: map[string]string{}}
	for _, e := range all {
		if e.Type == "finished" && e.Target == "//:report" {
			tr.rows = e.Rows
		}
	}
	for _, name := range []string{"results.json", "results.csv", "summary.md"} {
		tr.files[name] = w.read("cbuild-out/report/" + name)
	}
	if tr.rows == "" {
		w.t.Errorf("the report has no digest of its rows: %v", finishedOf(all))
	}
	var results struct{ Summary map[string]int }
	if err := json.Unmarshal([]byte(tr.files["results.json"]), &results); err != nil {
		w.t.Fatal(err)
	}
	each := modules / 6
	want := map[string]int{"regressed": each, "fixed": each, "changed": each, "same-fail": each, "same-pass": 2 * each, "skipped": 1, "inconclusive": 0}
	if !maps.Equal(results.Summary, want) {
		w.t.Errorf("the report has %v, want %v", results.Summary, want)
	}
	return tr
}

// checkSame fails the test if two truths differ.
func (tr truth) checkSame(t *testing.T, other truth, what string) {
	t.Helper()
	if tr.rows != other.rows {
		t.Errorf("%s: rows %s, want %s", what, other.rows, tr.rows)
	}
	for name, text := range tr.files {
		if other.files[name] != text {
			t.Errorf("%s: %s differs:\n%s\nwant\n%s", what, name, other.files[name], text)
		}
	}
}

// known are the keys with a finished event that has a result, and where it was seen.
type known map[string]string

// check fails the test if something ran although its key had finished before, and adds what has finished now.
func (k known) check(t *testing.T, all []event, where string) (ran int) {
	t.Helper()
	fresh := map[string]string{}
	for _, e := range all {
		if e.Type != "finished" || e.Key == "" || e.Cached == "" || e.Rule == "collate" {
			continue
		}
		if e.Cached == "no" {
			ran++
			if before, ok := k[e.Key]; ok {
				t.Errorf("%s: %s ran again, although it had finished in %s: %s", where, e.id(), before, e.Why)
			}
		}
		fresh[e.Key] = where
	}
	maps.Copy(k, fresh)
	return ran
}

// Twenty kills at moments all over the work cost no finished result, and change nothing in the end. CBUILD_CHAOS_KILLS sets another number,
// over more than 400 actions; every tenth is then a SIGINT.
func TestKillsCostOnlyWhatWasUnderWay(t *testing.T) {
	kills, modules := 20, fewModules
	if v := os.Getenv("CBUILD_CHAOS_KILLS"); v != "" {
		modules = manyModules
		if _, err := fmt.Sscan(v, &kills); err != nil {
			t.Fatal(err)
		}
	}
	n := chaosNetwork(t, modules)
	calm := newWorld(t, n, chaosFiles(t, modules))
	_, all := calm.build(0, "report")
	want := calm.truth(all, modules)
	work := known{}.check(t, all, "the undisturbed build")

	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("CBUILD_CHAOS_SEED"); v != "" {
		if _, err := fmt.Sscan(v, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("CBUILD_CHAOS_SEED=%d, %d actions", seed, work)
	random := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t, n, chaosFiles(t, modules))
	done := known{}
	total := 0
	for i := range kills {
		more, pause := random.IntN(work/kills+1), time.Duration(random.IntN(40_000))*time.Microsecond
		name := fmt.Sprintf("kill %d", i)
		p := w.start(fmt.Sprintf("killed-%02d.json", i), "report", "-j2")
		if more > 0 {
			w.until("it has done so much or all", func() bool {
				return w.fileHas(filepath.Base(p.events), `"cached":"no"`, more) || w.fileHas(filepath.Base(p.events), `"build_finished"`, 1)
			})
		}
		time.Sleep(pause)
		if kills > 20 && i%10 == 9 {
			_ = p.Process.Signal(os.Interrupt)
		} else {
			_ = p.Process.Kill()
		}
		p.wait()
		seen, err := readEvents(p.events, true)
		if err != nil {
			t.Fatal(err)
		}
		ran := done.check(t, seen, name)
		total += ran
		t.Logf("%s after %d actions and %v: %d ran, %d of %d done", name, more, pause, ran, total, work)
	}
	_, all = w.build(0, "report")
	total += done.check(t, all, "the last build")
	t.Logf("%d actions in all, %d undisturbed", total, work)
	want.checkSame(t, w.truth(all, modules), "after the kills")
	w.checkNothingLeft()
	_, all = w.build(0, "report")
	if ran := count(all, "", "", "no"); ran > 0 {
		t.Errorf("%d actions ran in the build after the last one: %v", ran, finishedOf(all))
	}
	want.checkSame(t, w.truth(all, modules), "again")
}

// The processes that hold the sandboxes may die at any moment: what ran in them is done again in another one, and nobody notices.
func TestSandboxesMayDie(t *testing.T) {
	n := chaosNetwork(t, fewModules)
	calm := newWorld(t, n, chaosFiles(t, fewModules))
	_, all := calm.build(0, "report")
	want := calm.truth(all, fewModules)

	// On a slow machine all of them may hit one run, and each costs it an attempt.
	const kills = 12
	files := chaosFiles(t, fewModules)
	text := strings.Replace(files["BUILD.hcl"], "run \"gofmt\" {\n", fmt.Sprintf("run \"gofmt\" {\n  retries = %d\n", kills), 1)
	if text == files["BUILD.hcl"] {
		t.Fatal("BUILD.hcl has no run gofmt")
	}
	files["BUILD.hcl"] = text
	w := newWorld(t, n, files)
	p := w.start("events.json", "report", "-j2")
	// Whether there are sandboxes is found out by the first ones: to kill these is to have none, and to test nothing.
	w.until("something has run in one", func() bool {
		seen, err := readEvents(p.events, true)
		return err == nil && count(seen, "gofmt", "", "no") > 0 || w.fileHas("events.json", `"build_finished"`, 1)
	})
	killed := 0
	for killed < kills && !w.fileHas("events.json", `"build_finished"`, 1) {
		if helpers := p.helpers(); len(helpers) > 0 {
			_ = syscall.Kill(helpers[killed%len(helpers)], syscall.SIGKILL)
			killed++
		}
		time.Sleep(20 * time.Millisecond)
	}
	if status := p.wait(); status != 0 {
		t.Errorf("status %d\n%s", status, p.said())
	}
	data, err := os.ReadFile(p.events)
	if err != nil {
		t.Fatal(err)
	}
	hit := strings.Count(string(data), `"attempt":`)
	if killed < 3 || hit == 0 {
		t.Skipf("SKIPPED: only %d sandboxes could be killed, and %d of them did something: is this machine without class full?", killed, hit)
	}
	if all, err = readEvents(p.events, false); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d killed, %d of them while something ran", killed, hit)
	want.checkSame(t, w.truth(all, fewModules), "after the kills")
	w.checkNothingLeft()
}

// helpers lists the processes that hold the sandboxes of p.
func (p *process) helpers() (pids []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.Process.Pid))
	for _, f := range files {
		data, _ := os.ReadFile(f)
		for _, word := range strings.Fields(string(data)) {
			line, _ := os.ReadFile("/proc/" + word + "/cmdline")
			if pid, err := strconv.Atoi(word); err == nil && strings.HasPrefix(string(line), "cbuild-sandbox\x00") {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// How many run at a time, how far ahead and in which order answers come changes nothing in the report.
func TestReportsDoNotDependOnConcurrency(t *testing.T) {
	n := chaosNetwork(t, fewModules)
	one := newWorld(t, n, chaosFiles(t, fewModules))
	_, all := one.build(0, "report", "-j1", "--window=1", "--disk-ahead=1")
	want := one.truth(all, fewModules)
	for _, i := range rand.Perm(fewModules)[:fewModules/2] {
		n.proxy.Fault("/"+chaosModule(i)+"/@latest", fakeproxy.Fault{Latency: 50 * time.Millisecond, Always: true})
	}
	eight := newWorld(t, n, chaosFiles(t, fewModules))
	_, all = eight.build(0, "report", "-j8")
	want.checkSame(t, eight.truth(all, fewModules), "-j8")
}

// Several builds at once, three in each of two workspaces, over one store and one state directory, do not disturb each other.
func TestSeveralBuildsAtOnce(t *testing.T) {
	n := chaosNetwork(t, fewModules)
	calm := newWorld(t, n, chaosFiles(t, fewModules))
	_, all := calm.build(0, "report")
	want := calm.truth(all, fewModules)

	one := newWorld(t, n, chaosFiles(t, fewModules))
	two := &world{t: t, network: n, home: one.home, dir: filepath.Join(one.home, "ws2")}
	for name, text := range chaosFiles(t, fewModules) {
		two.write(name, text)
	}
	var builds []*process
	for i := range 6 {
		w := []*world{one, two}[i%2]
		builds = append(builds, w.start(fmt.Sprintf("events-%d.json", i), "report"))
	}
	for i, p := range builds {
		if status := p.wait(); status != 0 {
			t.Errorf("build %d ended with status %d\n%s", i, status, p.said())
		}
	}
	for i, p := range builds {
		all, err := readEvents(p.events, false)
		if err != nil {
			t.Fatal(err)
		}
		want.checkSame(t, p.w.truth(all, fewModules), fmt.Sprintf("build %d", i))
	}
	one.checkNothingLeft()
}
