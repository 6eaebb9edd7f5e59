package sandbox_test

import (
	"fmt"
	"testing"

	"cbuild/engine"
)

// BenchmarkInputs says what inputs cost a command, by class: CBUILD_SANDBOX_CLASS=full go test -bench Inputs ./internal/sandbox. New trees are
// copied; known ones have been used before, and may be shared by now.
func BenchmarkInputs(b *testing.B) {
	w := newWorld(b)
	execute := func(b *testing.B, c engine.Command) {
		c.Argv, c.Env = []string{"/bin/true"}, baseEnv
		if r, err := w.Execute(b.Context(), &c); err != nil || r.Status != engine.Pass {
			b.Fatal(r, err)
		}
	}
	known := func(name string, before int, c engine.Command) {
		b.Run(name, func(b *testing.B) {
			for range before {
				execute(b, c)
			}
			for b.Loop() {
				execute(b, c)
			}
		})
	}
	known("none", 1, engine.Command{})
	count := 0
	for _, n := range []int{1, 4, 6, 10, 16, 100, 1000} {
		b.Run(fmt.Sprintf("new-tree-%d", n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				count++
				tree := w.manyFiles(n, count)
				b.StartTimer()
				execute(b, engine.Command{Mounts: []engine.Mount{{Path: "src", Artifact: tree}}})
			}
		})
	}
	for _, n := range []int{10, 100, 1000, 10_000} {
		if n > 1000 && !classFull {
			continue // 8 seconds each
		}
		known(fmt.Sprintf("known-tree-%d", n), 10, engine.Command{Mounts: []engine.Mount{{Path: "src", Artifact: w.manyFiles(n, 0)}}})
	}
	known("toolchain-10000", 1, engine.Command{Tools: []engine.Artifact{w.manyFiles(10_000, 0)}})
	for _, n := range []int{10, 100} {
		var mounts []engine.Mount
		for i := range n {
			mounts = append(mounts, w.file(fmt.Sprintf("in/%04d.h", i), fmt.Sprintf("int x%d;\n", i)))
		}
		known(fmt.Sprintf("single-%d", n), 1, engine.Command{Mounts: mounts})
	}
}

// manyFiles returns a tree of n small files, twenty to a directory. Trees of different seeds differ.
func (w *world) manyFiles(n, seed int) engine.Artifact {
	files := make(map[string]string, n)
	for i := range n {
		files[fmt.Sprintf("d%03d/%05d.c", i/20, i)] = fmt.Sprintf("int x%d;\n", i)
	}
	files["d000/00000.c"] = fmt.Sprintf("int seed%d;\n", seed)
	return w.tree(files)
}
