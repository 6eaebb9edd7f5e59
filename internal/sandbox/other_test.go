package sandbox_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/engine"
	"cbuild/internal/checkout"
	"cbuild/internal/sandbox"
)

// runAs executes a program as another user.
func runAs(uid uint32, argv ...string) ([]byte, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	return cmd.CombinedOutput()
}

// asSomebodyElse is the main function of this test when it runs as another user: what a command leaves unreadable is collected, and
// removed.
func asSomebodyElse(dir string) int {
	store := castest.NewMemory()
	work := filepath.Join(dir, "work")
	n := sandbox.New(store, checkout.NewShared(store, filepath.Join(dir, "trees")), work)
	c := outs(sh("mkdir -p d/e; echo f > d/e/f; echo o > o; chmod 0 d/e/f d/e d o; mkdir -p rest/x; > rest/x/y; chmod 0 rest/x rest"), "d/", "o")
	r, err := n.Execute(context.Background(), c)
	if err != nil || r.Status != engine.Pass || len(r.Outs) != 2 {
		fmt.Println(r, err)
		return 1
	}
	var paths []string
	for e, err := range cas.Walk(context.Background(), store, r.Outs[0].Digest) {
		if err != nil {
			fmt.Println(err)
			return 1
		}
		paths = append(paths, e.Path)
	}
	left, _ := os.ReadDir(work)
	if !slices.Equal(paths, []string{"e", "e/f"}) || len(left) > 0 {
		fmt.Println(paths, left)
		return 1
	}
	return 0
}
