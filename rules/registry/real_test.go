package registry_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"cbuild/engine"
	"cbuild/rules/download"
	"cbuild/rules/registry"
)

// realOptions are those for registries as the programs of this machine are configured to use them.
func realOptions(t *testing.T) registry.Options {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIPPED: no real registry is asked with -short")
	}
	client := download.New(download.Options{})
	t.Cleanup(client.Close)
	return registry.Options{Client: client, Machine: registry.Machine{Env: os.LookupEnv, Run: registry.Run}}
}

// skipUnreachable skips the test loudly if there is no registry to be asked.
func skipUnreachable(t *testing.T, what string, err error) {
	t.Helper()
	trouble, ok := errors.AsType[*engine.TroubleError](err)
	if ok && trouble.Retry || err != nil && strings.Contains(err.Error(), "where are ") {
		t.Skipf("SKIPPED: %s can't be reached: %v", what, err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The real registry agrees with what everybody knows; an archive that it serves has the digest that it says.
func TestRealNPM(t *testing.T) {
	o := realOptions(t)
	reg := registry.NewNPM(o)
	items, _, err := collect(t.Context(), reg, engine.Object{"packages": list("@esbuild/linux-x64@0.25.0", "is-odd@99.0.0")})
	skipUnreachable(t, "the registry of npm", err)
	checkFields(t, reg, items)
	known := items["@esbuild/linux-x64@0.25.0"]
	if known["url"] != "npm:@esbuild/linux-x64@0.25.0.tgz" || !strings.HasPrefix(known["integrity"].(string), "sha512-") {
		t.Errorf("%v", known)
	}
	if none := items["is-odd@99.0.0"]; none == nil || none["url"] != nil {
		t.Errorf("a version that is not there: %v", items)
	}
}

// The release of the updates, a small suite, is signed by a key of this machine, and its packages can be found.
func TestRealDebian(t *testing.T) {
	o := realOptions(t)
	reg := registry.NewDebian(o)
	items, notes, err := collect(t.Context(), reg, engine.Object{"suite": "stable-updates", "arch": "amd64"})
	if missing := errors.As(err, new(*engine.UnavailableError)); missing {
		t.Skipf("SKIPPED: what apt has its packages from is no archive of Debian: %v", err)
	}
	skipUnreachable(t, "the archive of Debian", err)
	checkFields(t, reg, items)
	t.Logf("%d packages, notes %q", len(items), notes)
	for key, item := range items {
		mirrors, err := reg.Mirrors(t.Context(), item["url"].(string))
		if err != nil || len(mirrors) == 0 {
			t.Errorf("%s: %v, %v", key, mirrors, err)
		}
		break
	}
}
