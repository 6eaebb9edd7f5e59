package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What go vet of two versions says of real modules. The dependencies come by the network, once; vet has none.
func TestGoVet(t *testing.T) {
	needs(t, "go", "date")
	w := newWorld(t)
	w.copyAll("govet")
	w.keep("modules.txt", 4)
	if os.Getenv("CBUILD_EXAMPLES") != "full" {
		t.Setenv("CBUILD_VAR_warm", "fmt testing encoding/json") // all of the standard library takes minutes
	}
	w.reaches("the module proxy of this environment", "std")

	all, stdout := w.run(binary, "report")
	if stdout != "cbuild-out/report/index.html\n" {
		t.Errorf("printed %q", stdout)
	}
	counts, rows := w.classes()
	t.Logf("%d modules: %v", len(rows), counts)
	// Since 1.24 vet minds a format that is no constant, in modules that do not say to be older: this one says nothing.
	want := map[string]string{"github.com/pkg/errors@v0.9.1": "regressed", "github.com/google/uuid@v1.6.0": "same-pass", "github.com/spf13/pflag@v1.0.5": "changed"}
	for key, class := range want {
		if rows[key] != class {
			t.Errorf("%s is %q, want %q", key, rows[key], class)
		}
	}
	if os.Getenv("CBUILD_EXAMPLES") == "full" && len(rows) < 50 {
		t.Errorf("only %d modules", len(rows))
	}
	if counts["inconclusive"]+counts["skipped"] > 0 {
		t.Errorf("%v", counts)
	}
	if log := w.printed("log", "vet[github.com/pkg/errors@v0.9.1][after]"); !strings.Contains(log, "non-constant format string") {
		t.Errorf("vet says of pkg/errors:\n%s", log)
	}

	t.Run("again", func(t *testing.T) {
		again, _ := w.run(binary, "report")
		w.checkRepeated(t, again, rowsOf(all))
	})
	t.Run("one module less", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(w.dir, "modules.txt"), []byte(strings.Replace(w.read("modules.txt"), "github.com/google/uuid@v1.6.0\n", "", 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		again, _ := w.run(binary, "report", "--offline")
		for _, name := range executed(again) {
			if strings.TrimSpace(name) != "//:report" {
				t.Errorf("executed %s", name)
			}
		}
	})
}

// printed is what cbuild prints that is no build and ends well.
func (w *world) printed(args ...string) string {
	w.t.Helper()
	cmd := exec.Command(binary, args...) //nolint:noctx // a moment
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "CBUILD_CAS=", "XDG_CACHE_HOME="+filepath.Join(w.home, "cache"), "XDG_STATE_HOME="+filepath.Join(w.home, "state"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}
