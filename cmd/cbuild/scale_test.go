package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"cbuild/engine"
)

// scaleFile is a workspace of N instances × 2 runs with five attributes, two of them dynamic, and a report over them.
const scaleFile = `
run "first" {
  for_each = lines(file("names.txt"))

  command = ["true", each.key]
  env     = { NAME = "name of ${each.key}", MODE = "fast" }
  stdout  = "first.txt"
  timeout = "1m"
  cpu     = 1
}

run "second" {
  for_each = run.first

  command = ["cat", each.value.out]
  env     = { NAME = upper(each.key) }
  stdout  = "second.txt"
  timeout = "1m"
  cpu     = 1
}

collate "report" {
  rows = run.second
}
`

// instant is an executor that runs nothing: every command has printed its name.
type instant struct{ engine.Executor }

func (instant) Execute(_ context.Context, c *engine.Command) (*engine.Result, error) {
	// All outputs are one blob: what is measured is the work for each instance, not the blobs.
	return &engine.Result{Outs: []engine.Output{{Path: c.Stdout, Artifact: engine.Artifact{Digest: scaleBlob, Name: c.Stdout}}}}, nil
}

var scaleBlob = engine.Artifact{}.Digest

// TestScale replays cached instances with the built binary and reports its peak memory, and compares that with a tenth of them. The
// sizes are those of CBUILD_SCALE, or small ones that only show that it works.
func TestScale(t *testing.T) {
	n := 2000
	if v := os.Getenv("CBUILD_SCALE"); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	binary := filepath.Join(t.TempDir(), "cbuild")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	small, large := replay(t, binary, n/10), replay(t, binary, n)
	t.Logf("peak memory: %d KiB for %d instances × 2, %d KiB for %d × 2: %.2f times", small, n/10, large, n, float64(large)/float64(small))
	if large > 256<<10 {
		t.Errorf("%d KiB are more than 256 MiB", large)
	}
	if n >= 100_000 && float64(large) > 1.5*float64(small) {
		t.Errorf("memory grows with the number of instances: %d KiB for %d, %d KiB for %d", small, n/10, large, n)
	}
}

// replay writes the records of n instances through ActionCache.Record, then builds with the binary, which must execute nothing. It
// returns the peak memory of that build in KiB.
func replay(t *testing.T, binary string, n int) int64 {
	dir, env := filled(t, n)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, binary, "report", "--events", filepath.Join(dir, ".events"), "--events-level=run")
	cmd.Dir, cmd.Env = dir, append(env, peakFile+"="+filepath.Join(dir, ".peak"))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	events, err := os.ReadFile(filepath.Join(dir, ".events"))
	if err != nil {
		t.Fatal(err)
	}
	if ran := bytes.Count(events, []byte(`"type":"started"`)); ran > 1 {
		t.Errorf("%d actions were executed, want at most the report", ran)
	}
	text, err := os.ReadFile(filepath.Join(dir, ".peak"))
	if err != nil {
		t.Fatal(err)
	}
	peak, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d instances × 2: wall %s; user %v, system %v; peak %d KiB", n,
		strings.TrimSpace(stderr.String()[strings.LastIndexByte(strings.TrimSpace(stderr.String()), ' '):]),
		cmd.ProcessState.UserTime(), cmd.ProcessState.SystemTime(), peak)
	return peak
}

// filled makes a workspace of n instances × 2 of which everything is recorded, and returns it with its environment.
func filled(t *testing.T, n int) (dir string, environ []string) {
	dir = t.TempDir()
	var names bytes.Buffer
	for i := range n {
		fmt.Fprintf(&names, "name-%07d\n", i)
	}
	for name, content := range map[string][]byte{"BUILD.hcl": []byte(scaleFile), "names.txt": names.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"HOME": dir, "XDG_CACHE_HOME": filepath.Join(dir, ".cache"), "XDG_STATE_HOME": filepath.Join(dir, ".state")}
	fill(t, dir, env)
	for k, v := range env {
		environ = append(environ, k+"="+v)
	}
	return dir, environ
}

// fill evaluates the workspace in this process with an executor that runs nothing, so that everything is recorded.
func fill(t *testing.T, dir string, env map[string]string) {
	c := &cli{
		stdout: &output{to: io.Discard}, stderr: io.Discard,
		env: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	}
	t.Chdir(dir)
	w, err := c.load(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.open(w)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if scaleBlob, err = s.store.Put(t.Context(), strings.NewReader("what it printed\n")); err != nil {
		t.Fatal(err)
	}
	s.runtime.Executor = instant{s.runtime.Executor}
	targets, _ := w.Resolve([]string{"second"})
	b := engine.New(engine.Options{Targets: w.Targets, Cache: s.store, Jobs: 4, Window: 64, Spool: s.spool})
	if err := b.Run(t.Context(), []engine.Want{{Label: targets[0].Label}}); err != nil {
		t.Fatal(err)
	}
	if sum := b.Sum(); sum.Total != sum.Classes[engine.ClassPass] {
		t.Fatalf("%+v", sum)
	}
	_ = s.table.Save()
}
