package sandbox_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cbuild/engine"
	"cbuild/internal/sandbox"
)

// forget makes the store lose inputs.
func (w *world) forget(inputs []engine.Mount) {
	for _, m := range inputs {
		w.store.Delete(m.Digest)
	}
}

// Whatever a command does to many single files, the next one finds them as they were, although it is not they that are written again.
func TestManySingleInputs(t *testing.T) {
	w := newWorld(t)
	inputs := append(w.singles("in/deep", 30, 1), w.file("in/other", "other"), w.file("src", "source"))
	inputs[0].Executable = true
	see := `stat -c '%n %u %g %a %Y %h' in/deep/00 in/deep/01; stat -c '%n %u %g %a %Y' . in in/deep; ls in/deep | wc -l; cat in/deep/00 in/deep/29 in/other src; `
	want := "in/deep/00 1000 1000 755 E 1\nin/deep/01 1000 1000 644 E 1\n. 1000 1000 755 E\nin 1000 1000 755 E\nin/deep 1000 1000 755 E\n30\n0 of 129 of 1othersource"
	if !classFull {
		see = strings.ReplaceAll(see, "%u %g", "1000 1000")
	}
	want = strings.ReplaceAll(want, " E", " 315532800")
	for _, change := range []string{
		"echo new > in/deep/00", ": > in/deep/00; rm in/deep/01", "chmod 0 in/deep/00 in/deep", "chmod 777 in in/deep in/deep/01; touch in/deep/01 in/deep", "rm -r in/deep; mkdir in/deep; ls -A in/deep",
		"rm -r in; echo file > in", "ln in/deep/00 hard; echo new > hard", "rm in/deep/00; ln -s ../other in/deep/00; echo through > in/deep/00", "exec 3<>in/deep/29; echo xx >&3",
		"mv in/deep in/moved; echo more >> in/moved/29", "cat in/deep/* > /dev/null; sed -i s/o/0/ in/deep/*; truncate -s 0 in/deep/29", "mkdir -p in/deep/new; echo y > in/deep/new/y",
	} {
		if got := w.passes(sh(see+change, inputs...)); got != want {
			t.Errorf("before %s:\n%s\nwant\n%s", change, got, want)
		}
	}
	others := append(w.singles("in/deep", 30, 2), inputs[30:]...)
	if got := w.passes(sh(see, others...)); got != strings.NewReplacer("755 315532800 1\nin/deep/01", "644 315532800 1\nin/deep/01", "of 1", "of 2").Replace(want) {
		t.Errorf("other files of the same names:\n%s", got)
	}
	others[0].Executable = true
	if got := w.passes(sh(see, others...)); got != strings.ReplaceAll(want, "of 1", "of 2") {
		t.Errorf("one of them executable:\n%s", got)
	}
	r := w.run(outs(sh("echo new > in/deep/05; rm in/deep/06; echo out > in/deep/new/out", inputs...), "in/", "in/deep/05", "in/deep/new/out"))
	if len(r.Outs) != 3 {
		t.Fatal(r.Status, r.Outs, w.read(r.Log))
	}
	if got := w.paths(r.Outs[0].Digest); len(got) != 33 {
		t.Errorf("the whole directory is %d things: %v", len(got), got)
	}
	if got := w.read(r.Outs[1].Digest) + w.read(r.Outs[2].Digest); got != "new\nout\n" {
		t.Errorf("outs among inputs: %q", got)
	}
}

// What others need again is not copied again: the store need not have it any more. What a box keeps is bounded, and the last used.
func TestSingleInputsAreKept(t *testing.T) {
	w := fullOnly(t)
	inputs := w.singles("in", 40, 1)
	c := sh("cat in/39", inputs...)
	first := w.passes(c)
	other := w.singles("other", 40, 2)
	with := func(source string) []engine.Mount {
		return slices.Concat(inputs, other, []engine.Mount{w.file("src", source)})
	}
	w.passes(sh("cat in/39 other/39 src", with("1")...))
	w.forget(inputs)
	w.forget(other)
	if got := w.passes(sh(overlays+"; cat src in/39 other/39", with("2")...)); got != "1\n239 of 139 of 2" {
		t.Errorf("again, with another file: %q", got)
	}
	for n := range 26 { // 1,040 files
		w.passes(sh("", w.singles("in", 40, 100+n)...))
		if n == 10 {
			if got := w.passes(c); got != first {
				t.Errorf("after others: %q", got)
			}
		}
	}
	if got := w.passes(c); got != first {
		t.Errorf("after more: %q", got)
	}
	var lost *engine.LostError
	if _, err := w.Execute(t.Context(), sh("", other...)); !errors.As(err, &lost) {
		t.Errorf("what was not used for longest: %v", err)
	}
	many := slices.Concat(w.singles("a", 99, 9), w.singles("b", 99, 9), w.singles("c", 99, 9))
	for n := range 8 { // more than is kept, in one command
		many = append(many, w.singles(fmt.Sprint("d", n), 99, 9)...)
	}
	if got := w.passes(sh("sleep 0.1; cat */* | wc -c", many...)); got != "7513\n" {
		t.Errorf("many: %s", got)
	}
	large := w.singles("in", 20, 3)
	for i := range large {
		large[i] = w.file(large[i].Path, strings.Repeat(string(rune('a'+i)), 500_000))
	}
	if got := w.passes(sh("wc -c in/* | tail -1", large...)); !strings.Contains(got, "10000000") {
		t.Errorf("large files: %s", got)
	}
	w.forget(large)
	if _, err := w.Execute(t.Context(), sh("", large...)); !errors.As(err, &lost) {
		t.Errorf("what is more than is kept: %v", err)
	}
	if _, err := w.Execute(t.Context(), c); !errors.As(err, &lost) {
		t.Errorf("what was used before that: %v", err)
	}
	w.clean()
}

// What could not be copied whole is not kept.
func TestLostSingleInputs(t *testing.T) {
	w := newWorld(t)
	inputs := w.singles("in", 40, 1)
	w.store.Delete(inputs[20].Digest)
	for range 2 {
		var lost *engine.LostError
		if _, err := w.Execute(t.Context(), sh("", inputs...)); !errors.As(err, &lost) || lost.Digest != inputs[20].Digest {
			t.Errorf("a lost input: %v", err)
		}
		w.clean()
	}
	w.singles("in", 40, 1)
	if got := w.passes(sh("cat in/* | wc -c", inputs...)); got != "270\n" {
		t.Errorf("found again: %s", got)
	}
}

// Where inputs stand in each other's way is found out as if they were few, and copied one by one into one directory.
func TestObstructedSingleInputs(t *testing.T) {
	w := fullOnly(t)
	flat := sandbox.New(w.store, w.tools, filepath.Join(t.TempDir(), "flat"))
	same := w.tree(map[string]string{"d/01": "1 of 1", "d/x": "x"})
	other := w.tree(map[string]string{"d/01": "another", "up": "->..", "in": "->d"})
	source := func(m engine.Mount) engine.Mount { m.Source = true; return m }
	for name, more := range map[string][]engine.Mount{
		"nothing":                           nil,
		"a file in one of them":             {w.file("in/d/00/x", "x")},
		"a file where their directory is":   {w.file("in/d", "x")},
		"a file where a parent is":          {w.file("in", "x")},
		"the same in a tree":                {source(engine.Mount{Path: "in", Artifact: same})},
		"another one in a tree":             {{Path: "in", Artifact: other}},
		"one of them twice":                 {w.file("in/d/01", "1 of 1")},
		"one of them twice, another one":    {w.file("in/d/01", "another")},
		"a tree in place of one":            {{Path: "in/d/01", Artifact: same}},
		"a tree in one":                     {{Path: "in/d/01/t", Artifact: same}},
		"a tree beside them":                {{Path: "in/d/t", Artifact: same}, {Path: "in/e", Artifact: other}},
		"many in one of them":               w.singles("in/d/00", 20, 2),
		"many below them, and beside":       append(w.singles("in/d/e", 20, 2), w.singles("in/f", 20, 3)...),
		"a tree whose link is on their way": {{Path: ".", Artifact: other}},
	} {
		for _, out := range []string{"out", "in/d/00/out", "in/d/made/out", "in/d/05", "in/d/05/"} {
			c := outs(sh("find . | sort; find . -type f | sort | xargs cat; rm -rf in/d/05", append(w.singles("in/d", 20, 1), more...)...), out)
			want, werr := flat.Execute(t.Context(), c)
			got, err := w.Execute(t.Context(), c)
			w.clean()
			var one, two *engine.InvalidError
			if errors.As(werr, &one) != errors.As(err, &two) || (werr == nil) != (err == nil) {
				t.Errorf("%s, out %s: %v, want %v", name, out, err, werr)
				continue
			}
			if err == nil && (got.Status != want.Status || w.read(got.Stdout) != w.read(want.Stdout)) {
				t.Errorf("%s, out %s: %v\n%s\nwant %v\n%s", name, out, got.Status, w.read(got.Stdout), want.Status, w.read(want.Stdout))
			}
		}
	}
}
