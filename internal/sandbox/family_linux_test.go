package sandbox_test

import (
	"context"
	"path/filepath"
	"testing"

	"cbuild/cas/castest"
	"cbuild/engine"
	"cbuild/internal/checkout"
	"cbuild/internal/sandbox"
)

// TestBoxesAreNoStrays ends a command of class none while a box waits for its next one, which must not be taken for something that a
// command left behind.
func TestBoxesAreNoStrays(t *testing.T) {
	if classFull {
		t.Skip("SKIPPED: this test has both classes already")
	}
	s := castest.NewMemory()
	dir := t.TempDir()
	trees := checkout.NewShared(s, filepath.Join(dir, "trees"))
	full, err := sandbox.Open(t.Context(), s, trees, filepath.Join(dir, "full"))
	if err != nil {
		t.Skipf("SKIPPED: no class full on this machine: %v", err)
	}
	defer full.Close()
	none := sandbox.New(s, trees, filepath.Join(dir, "none"))
	for range 3 {
		for _, x := range []*sandbox.Executor{full, none} {
			if r, err := x.Execute(context.Background(), sh("true")); err != nil || r.Status != engine.Pass {
				t.Fatalf("class %v: %v, %v", x.Guarantees().Sandbox, r, err)
			}
		}
	}
}
