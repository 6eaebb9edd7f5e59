package layers

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// leaves may be imported by every package and import none of ours.
var leaves = []string{"internal/vfs", "internal/clock", "internal/retry", "internal/typo", "internal/mask", "internal/layers"}

// allowed maps each package to those of ours, besides the leaves, that it may import. A package that is not listed here fails the
// test: a new one needs a place in the house first.
var allowed = map[string][]string{
	"cas":                        {},
	"engine":                     {"cas"},
	"cas/local":                  {"cas", "engine"},
	"cas/castest":                {"cas", "engine"},
	"rules":                      {"cas", "engine", "rules/archive", "rules/download", "rules/registry", "rules/report"},
	"rules/registry":             {"cas", "engine", "rules/archive", "rules/download"},
	"rules/registry/fakeproxy":   {},
	"rules/registry/fakes":       {},
	"rules/archive":              {"cas"},
	"rules/download":             {"cas", "engine"},
	"rules/download/faultserver": {},
	"rules/report":               {"cas", "engine", "rules/report/ui"},
	"rules/report/ui":            {},
	"internal/buildfile":         {"cas", "engine", "rules"},
	"internal/checkout":          {"cas"},
	"internal/state":             {"cas"},
	"internal/sandbox":           {"cas", "engine", "internal/checkout"},
	"internal/ui":                {"engine"},
	"internal/watch":             {},
	"internal/ui/screen":         {},
	"internal/manual":            {},
	"internal/history":           {"engine"},
	"internal/graph":             {"engine"},
	"internal/live":              {},
	"internal/reapi":             {"cas", "engine"},
}

// sole maps a module to the only packages that may import it.
var sole = map[string][]string{
	"github.com/hashicorp/hcl/v2":    {"internal/buildfile"},
	"github.com/zclconf/go-cty":      {"internal/buildfile"},
	"github.com/zeebo/blake3":        {"cas", "cas/local"},
	"modernc.org/sqlite":             {"internal/history"},
	"github.com/klauspost/compress":  {"cas/local", "internal/history", "rules/archive", "rules/download", "rules/report"},
	"golang.org/x/sync/singleflight": {"engine"},
	"google.golang.org/grpc":         {"internal/reapi"},
	"google.golang.org/protobuf":     {"internal/reapi"},
	"github.com/spf13/cobra":         {"cmd/cbuild"},
	"github.com/fsnotify/fsnotify":   {"internal/watch"},
}

// engineFree lists what the engine must not reach even indirectly, so that it can be tested with closures in virtual time and run
// anywhere.
var engineFree = []string{"github.com/hashicorp/hcl", "github.com/zclconf/go-cty", "google.golang.org/grpc", "os/exec", "net/http", "database/sql"}

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func list(t *testing.T, pattern string) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", pattern)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v", pattern, err)
	}
	var pkgs []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func TestImportPolicy(t *testing.T) {
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, "cbuild/")
		if strings.HasPrefix(name, "cmd/") || strings.HasPrefix(name, "examples") {
			continue // cmd plugs everything together; the examples are tests
		}
		may, listed := allowed[name]
		if !listed && !slices.Contains(leaves, name) {
			t.Errorf("%s has no place in the house: add it to the policy", name)
		}
		for _, imp := range p.Imports {
			if ours, ok := strings.CutPrefix(imp, "cbuild/"); ok && !slices.Contains(leaves, ours) && !slices.Contains(may, ours) {
				t.Errorf("%s must not import %s", name, ours)
			}
			for module, only := range sole {
				if (imp == module || strings.HasPrefix(imp, module+"/")) && !slices.Contains(only, name) {
					t.Errorf("%s must not import %s: only %v may", name, imp, only)
				}
			}
		}
	}
}

func TestEngineStandsAlone(t *testing.T) {
	for _, p := range list(t, "./engine") {
		for _, dep := range p.Deps {
			for _, not := range engineFree {
				if dep == not || strings.HasPrefix(dep, not+"/") {
					t.Errorf("engine reaches %s", dep)
				}
			}
		}
	}
}
