package buildfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cbuild/engine"
	"cbuild/rules"
)

var _ rules.Pins = (*Lock)(nil)

func openLock(t *testing.T, dir string, opts LockOptions) *Lock {
	t.Helper()
	l, diags := OpenLock(dir, opts)
	if diags.HasErrors() {
		t.Fatalf("OpenLock:\n%v", diags)
	}
	return l
}

func lockFiles(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		rel, _ := filepath.Rel(dir, p)
		fmt.Fprintf(&b, "== %s\n%s", rel, data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var (
	modulesLabel = engine.Label{Name: "modules"}
	goLabel      = engine.Label{Dir: "tools/Go", Name: "go"}
)

func TestLockRoundTrip(t *testing.T) {
	dir := t.TempDir()
	var journal []string
	l := openLock(t, dir, LockOptions{Journal: func(t engine.Label, r, a string) error {
		journal = append(journal, t.String()+" "+r+" "+a)
		return nil
	}})
	for i := range 100 {
		if err := l.SetPin(modulesLabel, fmt.Sprintf("latest m%d", i), fmt.Sprintf(`{"v":"<%d> ${x}"}`, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.SetPin(goLabel, "go1.22 ${x}", "h1:abc="); err != nil {
		t.Fatal(err)
	}
	want(t, "journalled", len(journal), 101)
	want(t, "changes", len(l.Diff()), 101)
	if err := l.Save(); err != nil {
		t.Fatal(err)
	}
	first := lockFiles(t, dir)
	if !strings.Contains(first, "count  = 100") || !strings.Contains(first, `"go1.22 $${x}" = "h1:abc="`) {
		t.Errorf("lock files:\n%.600s", first)
	}
	again := openLock(t, dir, LockOptions{})
	want(t, "unchanged", again.Diff(), []Change{})
	for _, c := range []struct {
		l       engine.Label
		request string
		want    string
	}{{modulesLabel, "latest m7", `{"v":"<7> ${x}"}`}, {goLabel, "go1.22 ${x}", "h1:abc="}} {
		if got, ok := again.Pin(c.l, c.request); !ok || got != c.want {
			t.Errorf("Pin(%s, %s) = %q %v", c.l, c.request, got, ok)
		}
	}
	// The same pins in another order give the same bytes.
	other := t.TempDir()
	o := openLock(t, other, LockOptions{})
	for i := 99; i >= 0; i-- {
		_ = o.SetPin(modulesLabel, fmt.Sprintf("latest m%d", i), fmt.Sprintf(`{"v":"<%d> ${x}"}`, i))
	}
	_ = o.SetPin(goLabel, "go1.22 ${x}", "h1:abc=")
	if err := o.Save(); err != nil {
		t.Fatal(err)
	}
	if lockFiles(t, other) != first {
		t.Error("the order of SetPin shows in the lock files")
	}
	again.Drop([]engine.Label{modulesLabel})
	if err := again.Save(); err != nil {
		t.Fatal(err)
	}
	if rest := lockFiles(t, dir); strings.Contains(rest, "modules") || !strings.Contains(rest, "go1.22") {
		t.Errorf("after Drop:\n%s", rest)
	}
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	l := openLock(t, dir, LockOptions{})
	_ = l.SetPin(goLabel, "r", "a")
	if err := l.Save(); err != nil {
		t.Fatal(err)
	}
	l = openLock(t, dir, LockOptions{Locked: true})
	if err := l.SetPin(goLabel, "r", "a"); err != nil {
		t.Errorf("the same answer: %v", err)
	}
	var locked *LockedError
	if err := l.SetPin(goLabel, "r", "b"); !errors.As(err, &locked) || locked.Before != "a" || locked.After != "b" {
		t.Errorf("another answer: %v", err)
	}
	if err := l.SetPin(goLabel, "new", "b"); !errors.As(err, &locked) || locked.Before != "" {
		t.Errorf("a new request: %v", err)
	}
	if got, _ := l.Pin(goLabel, "r"); got != "a" {
		t.Errorf("the pin changed to %q", got)
	}
}

func TestDamagedLock(t *testing.T) {
	full := t.TempDir()
	l := openLock(t, full, LockOptions{})
	for i := range 100 {
		_ = l.SetPin(modulesLabel, fmt.Sprint(i), "a")
	}
	if err := l.Save(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(full, LockName))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ lock, answers, want string }{
		"merge conflict": {"<<<<<<< HEAD\n" + string(good), "", "Merge conflict in BUILD.lock.hcl"},
		"cut":            {string(good[:len(good)/2]), "", "Damaged BUILD.lock.hcl"},
		"other block":    {"run \"x\" {\n}\n", "", "Damaged BUILD.lock.hcl"},
		"other answers":  {string(good), `{"request":"0","answer":"evil"}` + "\n", "is not the file that"},
		"other file":     {"pins \"//:modules\" {\n  file = \"../../x\"\n  digest = \"b3:00\"\n}\n", "", "not the name of its answer file"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{LockName: c.lock}
			if c.answers != "" {
				files[LockDir+"/modules.ndjson"] = c.answers
			}
			_, diags := OpenLock(write(t, files), LockOptions{})
			if !diags.HasErrors() || !strings.Contains(diags.Error(), c.want) {
				t.Errorf("got %v, want %q", diags.Error(), c.want)
			}
		})
	}
	t.Run("answers gone", func(t *testing.T) {
		l, diags := OpenLock(write(t, map[string]string{LockName: string(good)}), LockOptions{})
		if _, ok := l.Pin(modulesLabel, "1"); diags.HasErrors() || ok {
			t.Errorf("answers that are nowhere must be asked again: %v", diags)
		}
	})
	t.Run("killed between answers and lock", func(t *testing.T) {
		answers, err := os.ReadFile(filepath.Join(full, LockDir, "modules.ndjson"))
		if err != nil {
			t.Fatal(err)
		}
		dir := write(t, map[string]string{LockName: string(good), LockDir + "/modules.ndjson": "new\n", LockDir + "/modules.ndjson~": string(answers)})
		if _, ok := openLock(t, dir, LockOptions{}).Pin(modulesLabel, "99"); !ok {
			t.Error("the old lock is lost")
		}
	})
}
