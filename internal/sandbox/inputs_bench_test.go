package sandbox_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

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
	b.Run("new-single-100", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			count++
			mounts := w.singles("in", 100, count)
			b.StartTimer()
			execute(b, engine.Command{Mounts: mounts})
		}
	})
	b.Run("bare-100", func(b *testing.B) {
		dir, err := unix.Open(b.TempDir(), unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer unix.Close(dir)
		for b.Loop() {
			for i := range 100 {
				bareFile(b, dir, fmt.Sprintf("%04d.h", i))
			}
			for i := range 100 {
				if err := unix.Unlinkat(dir, fmt.Sprintf("%04d.h", i), 0); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// bareFile is what the system takes for a small file.
func bareFile(b *testing.B, dir int, name string) {
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o644)
	if err != nil {
		b.Fatal(err)
	}
	_, err = unix.Write(fd, []byte("int x;\n"))
	times := []unix.Timespec{{Sec: 1}, {Sec: 1}}
	if err = errors.Join(err, unix.Fchown(fd, os.Getuid(), os.Getgid()), unix.UtimesNanoAt(dir, name, times, 0), unix.Close(fd)); err != nil {
		b.Fatal(err)
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

// singles returns n files of a directory, with contents that depend on seed.
func (w *world) singles(dir string, n, seed int) (all []engine.Mount) {
	for i := range n {
		all = append(all, w.file(fmt.Sprintf("%s/%02d", dir, i), fmt.Sprintf("%d of %d", i, seed)))
	}
	return all
}
