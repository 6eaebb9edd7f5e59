package sandbox_test

import (
	"fmt"
	"testing"

	"cbuild/engine"
)

// BenchmarkInputs says what inputs cost a command, by class: CBUILD_SANDBOX_CLASS=full go test -bench Inputs ./internal/sandbox.
func BenchmarkInputs(b *testing.B) {
	w := newWorld(b)
	command := func(b *testing.B, c engine.Command) {
		c.Argv, c.Env = []string{"/bin/true"}, baseEnv
		for b.Loop() {
			if r, err := w.Execute(b.Context(), &c); err != nil || r.Status != engine.Pass {
				b.Fatal(r, err)
			}
		}
	}
	b.Run("none", func(b *testing.B) { command(b, engine.Command{}) })
	for _, n := range []int{1, 2, 4, 8, 16, 100, 1000, 10_000} {
		tree := w.manyFiles(n)
		b.Run(fmt.Sprintf("tree-%d", n), func(b *testing.B) {
			command(b, engine.Command{Mounts: []engine.Mount{{Path: "src", Artifact: tree}}})
		})
	}
	b.Run("toolchain-10000", func(b *testing.B) {
		command(b, engine.Command{Tools: []engine.Artifact{w.manyFiles(10_000)}})
	})
	for _, n := range []int{10, 100} {
		var mounts []engine.Mount
		for i := range n {
			mounts = append(mounts, w.file(fmt.Sprintf("in/%04d.h", i), fmt.Sprintf("int x%d;\n", i)))
		}
		b.Run(fmt.Sprintf("single-%d", n), func(b *testing.B) { command(b, engine.Command{Mounts: mounts}) })
	}
}

// manyFiles returns a tree of n small files, twenty to a directory.
func (w *world) manyFiles(n int) engine.Artifact {
	files := make(map[string]string, n)
	for i := range n {
		files[fmt.Sprintf("d%03d/%05d.c", i/20, i)] = fmt.Sprintf("int x%d;\n", i)
	}
	return w.tree(files)
}
