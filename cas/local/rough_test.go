package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/internal/clock"
)

// processes starts n of this test binary in a role, and returns a function that waits for them. Where it can be done, each second one
// has a mount and a network namespace of its own, as in a container.
func processes(t *testing.T, n int, role string, dirs []string, env ...string) (wait func()) {
	t.Helper()
	apart := exec.CommandContext(t.Context(), "unshare", "-rmn", "true").Run() == nil
	if !apart {
		t.Log("SKIPPED: namespaces can't be made here: all processes are in one")
	}
	var cmds []*exec.Cmd
	for i := range n {
		args := []string{os.Args[0]}
		if apart && i%2 == 1 {
			args = []string{"unshare", "-rmn", os.Args[0]}
		}
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Env = append(append(os.Environ(), role+"="+dirs[i/2%len(dirs)], "TEST_SEED="+strconv.Itoa(i)), env...)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		cmds = append(cmds, cmd)
	}
	return func() {
		for i, cmd := range cmds {
			if err := cmd.Wait(); err != nil {
				t.Errorf("process %d: %v", i, err)
			}
		}
	}
}

// skewed is the clock of the n-th process: their dates are days apart.
func skewed(seed string) clock.Clock {
	n, _ := strconv.Atoi(seed)
	return clock.Skewed(time.Duration(n-4) * 77 * time.Hour)
}

// oneInTrouble does what a build does, while somebody deletes and collects: it looks up, makes what is missing, reads it. Nothing may be an
// error, and no byte wrong.
func oneInTrouble(dir, seed string) error {
	ctx := context.Background()
	n, _ := strconv.Atoi(seed)
	random := rand.New(rand.NewPCG(uint64(n), 1))
	for round := range 8 {
		l, err := Open(dir, Options{Clock: skewed(seed)})
		if err != nil {
			return err
		}
		for range 60 {
			i := random.IntN(sharedBlobs)
			if err := makeOrFind(ctx, l, i); err != nil {
				return fmt.Errorf("round %d: %w", round, err)
			}
			time.Sleep(time.Duration(random.IntN(3)) * time.Millisecond)
		}
		if err := l.Close(); err != nil && !gone(err) {
			return err
		}
	}
	return nil
}

// gone reports whether err is about files that somebody deleted.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// makeOrFind makes the i-th blob if its result or it itself is missing, and reads it.
func makeOrFind(ctx context.Context, l *Local, i int) error {
	want := shared(i)
	k := engine.Key(cas.Of(fmt.Append(nil, "rough ", i)).Hash)
	for range 20 {
		r, _, err := l.Lookup(ctx, k, engine.Conditions{}, engine.LookupNormal)
		if err != nil {
			return err
		}
		if r != nil {
			data, err := cas.ReadAll(ctx, l, r.Log, 1<<20)
			if err == nil && !bytes.Equal(data, want) {
				return fmt.Errorf("blob %d: wrong bytes", i)
			}
			if err == nil {
				return nil
			}
			if !errors.Is(err, cas.ErrNotFound) {
				return err
			}
		}
		d, err := cas.PutBytes(ctx, l, want)
		if err == nil {
			err = l.Record(ctx, engine.Record{Key: k, Result: &engine.Result{Log: d}})
		}
		if err != nil && !gone(err) {
			return err
		}
	}
	return fmt.Errorf("blob %d is lost again and again", i)
}

// Eight processes use a store while files of all kinds are deleted at random, collections run, and copies are made. Each gets right bytes
// only; every copy is a store.
func TestSharingInTrouble(t *testing.T) {
	dir := newDir(t)
	shareInTrouble(t, dir, dir)
}

// The same, with two mounts that show names, attributes and absence as they were up to five seconds ago, as a network file system may. Locks
// of one mount are not seen in the other.
func TestSharingOverStaleMounts(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short: stale mounts make everything slow")
	}
	dir := newDir(t)
	shareInTrouble(t, dir, staleMount(t, dir), staleMount(t, dir))
}

// newDir makes a store.
func newDir(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "cas")
	if l := mustOpen(t, dir); l.Close() != nil {
		t.Fatal("close")
	}
	return dir
}

// staleMount mounts dir once more, through caches of the kernel that are never told of changes.
func staleMount(t *testing.T, dir string) string {
	t.Helper()
	if _, err := exec.LookPath("bindfs"); err != nil {
		t.Skip("SKIPPED: no bindfs: stale attributes are not tested")
	}
	at := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "bindfs", "-f", "-o", "attr_timeout=5,entry_timeout=5,negative_timeout=5", dir, at)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it unmounts, which not everybody may
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() { <-ended }) // the context of the test has ended by then
	for over := time.After(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(at, "VERSION")); err == nil {
			return at
		}
		select {
		case <-ended:
		case <-over:
		default:
			continue
		}
		break
	}
	t.Skipf("SKIPPED: bindfs can't mount here: %s", said.String())
	return ""
}

// shareInTrouble has eight processes use the store dir, each through one of the mounts.
func shareInTrouble(t *testing.T, dir string, mounts ...string) {
	ctx, cancel := context.WithCancel(t.Context())
	var trouble sync.WaitGroup
	deleted, collected, copies := 0, 0, 0
	trouble.Go(func() {
		random := rand.New(rand.NewPCG(7, 7))
		for ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond)
			deleted += deleteOne(dir, random)
		}
	})
	trouble.Go(func() {
		for ctx.Err() == nil {
			time.Sleep(50 * time.Millisecond)
			l, err := Open(dir, Options{Durability: None})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := l.Collect(ctx, Limits{Keep: 200_000}); err == nil {
				collected++
			} else if ctx.Err() == nil && !gone(err) {
				t.Error(err)
			}
			if err := l.Close(); err != nil && !gone(err) {
				t.Error(err)
			}
		}
	})
	trouble.Go(func() {
		for ctx.Err() == nil {
			time.Sleep(100 * time.Millisecond)
			checkCopy(t, dir, filepath.Join(t.TempDir(), "copy"))
			copies++
		}
	})
	processes(t, 8, "TEST_ROUGH", mounts)()
	cancel()
	trouble.Wait()
	t.Logf("%d files were deleted, %d collections and %d copies made", deleted, collected, copies)
	if deleted == 0 || collected == 0 || copies == 0 {
		t.Error("there was no trouble")
	}
	l := open(t, dir)
	if _, err := l.Verify(t.Context(), Sample{}); err != nil {
		t.Error(err)
	}
	if rep, err := l.Verify(t.Context(), Sample{}); err != nil || len(rep.Damaged) > 0 {
		t.Errorf("%+v, %v", rep, err)
	}
	for i := range sharedBlobs {
		if err := makeOrFind(t.Context(), l, i); err != nil {
			t.Error(err)
		}
	}
}

// deleteOne deletes one file, of whatever kind.
func deleteOne(dir string, random *rand.Rand) int {
	var all []string
	_ = filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error { // what vanishes meanwhile is not there
		if err == nil && e.Type().IsRegular() {
			all = append(all, p)
		}
		return nil
	})
	if len(all) == 0 {
		return 0
	}
	if os.Remove(all[random.IntN(len(all))]) != nil {
		return 0
	}
	return 1
}

// checkCopy copies a store file by file while it is used, as cp -r does, and shows that the copy is a sound store.
func checkCopy(t *testing.T, dir, to string) {
	_ = filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error { // what vanishes meanwhile is not copied
		if err != nil || !e.Type().IsRegular() {
			return nil
		}
		name := filepath.Join(to, strings.TrimPrefix(p, dir))
		if data, err := os.ReadFile(p); err == nil {
			_ = os.MkdirAll(filepath.Dir(name), 0o777)
			_ = os.WriteFile(name, data, 0o666)
		}
		return nil
	})
	l, err := Open(to, Options{Durability: None})
	if err != nil {
		t.Errorf("a copy can't be opened: %v", err)
		return
	}
	for i := range sharedBlobs {
		data, err := cas.ReadAll(context.Background(), l, cas.Of(shared(i)), 1<<20)
		if err == nil && !bytes.Equal(data, shared(i)) {
			t.Errorf("a copy has wrong bytes")
		}
	}
	_, err = l.Verify(context.Background(), Sample{})
	if err == nil {
		var rep Report
		if rep, err = l.Verify(context.Background(), Sample{}); len(rep.Damaged) > 0 {
			t.Errorf("a copy stays damaged: %+v", rep)
		}
	}
	if err := errors.Join(err, l.Close(), os.RemoveAll(to)); err != nil {
		t.Error(err)
	}
}

const (
	leasedActions = 12
	leasedFor     = 250 * time.Millisecond
)

// oneWithLeases does slow actions that others do, too, as a build does: whoever finds one being done looks for others first, and then
// waits. Each execution is a line in a file.
func oneWithLeases(dir, seed string) error {
	ctx := context.Background()
	l, err := Open(dir, Options{Clock: skewed(seed)})
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(seed)
	todo := rand.New(rand.NewPCG(uint64(n), 2)).Perm(leasedActions)
	for len(todo) > 0 {
		var held []int
		for _, i := range todo {
			done, err := leased(ctx, l, i)
			if err != nil {
				return err
			}
			if !done {
				held = append(held, i)
			}
		}
		if len(held) == len(todo) {
			if _, err := l.Await(ctx, leasedKey(held[0]), 0, nil); err != nil {
				return err
			}
		}
		todo = held
	}
	return l.Close()
}

func leasedKey(i int) engine.Key { return engine.Key(cas.Of(fmt.Append(nil, "leased ", i)).Hash) }

// leased does the i-th action unless somebody else is at it.
func leased(ctx context.Context, l *Local, i int) (done bool, err error) {
	find := func() (bool, error) {
		r, _, err := l.Lookup(ctx, leasedKey(i), engine.Conditions{}, engine.LookupNormal)
		return r != nil, err
	}
	if done, err := find(); done || err != nil {
		return done, err
	}
	release, ok := l.Try(ctx, leasedKey(i))
	defer release()
	if !ok {
		return false, nil
	}
	if done, err := find(); done || err != nil {
		return done, err
	}
	f, err := os.OpenFile(filepath.Join(os.Getenv("TEST_LOG"), "executed"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return false, err
	}
	_, err = fmt.Fprintln(f, i)
	if err = errors.Join(err, f.Close()); err != nil {
		return false, err
	}
	time.Sleep(leasedFor)
	return true, l.Record(ctx, engine.Record{Key: leasedKey(i), Result: &engine.Result{}})
}

// Eight processes in several namespaces, with wrong dates, do the same slow actions: nearly each is done once.
func TestLeasesSaveWork(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cas")
	if l := mustOpen(t, dir); l.Close() != nil {
		t.Fatal("close")
	}
	log := t.TempDir()
	processes(t, 8, "TEST_LEASES", []string{dir}, "TEST_LOG="+log)()
	data, err := os.ReadFile(filepath.Join(log, "executed"))
	if err != nil {
		t.Fatal(err)
	}
	executed := bytes.Count(data, []byte("\n"))
	t.Logf("%d actions were executed %d times by 8 processes", leasedActions, executed)
	if executed < leasedActions || 2*executed > 3*leasedActions {
		t.Errorf("%d actions were executed %d times", leasedActions, executed)
	}
	if left := files(t, filepath.Join(dir, "leases")); len(left) > 0 {
		t.Errorf("leases are left: %v", left)
	}
}
