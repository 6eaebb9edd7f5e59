package registry_test

import (
	"errors"
	"os"
	"testing"

	"cbuild/engine"
	"cbuild/rules/download"
	"cbuild/rules/registry"
)

// The real proxy, as the go command is configured here, agrees with what everybody knows.
func TestRealProxy(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: the real module proxy is not asked with -short")
	}
	client := download.New(download.Options{})
	t.Cleanup(client.Close)
	reg := registry.NewGo(registry.GoOptions{Client: client, Env: os.LookupEnv, GoEnv: registry.GoCommand, CacheDir: t.TempDir()})
	items, err := ask(t.Context(), reg, "latest", "github.com/google/uuid@v1.6.0", "github.com/pkg/errors", "github.com/google/uuid@v99.0.0")
	if trouble, ok := errors.AsType[*engine.TroubleError](err); ok && trouble.Retry {
		t.Skipf("SKIPPED: the module proxy can't be reached: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if h1 := items["github.com/google/uuid@v1.6.0"]["h1"]; h1 != "h1:NIvaJDMOsjHA8n1jAhLSgzrAzy1Hgr+hNrb57e+94F0=" {
		t.Errorf("uuid: %v", items)
	}
	if errors := items["github.com/pkg/errors@v0.9.1"]; errors == nil || errors["retracted"] != false {
		t.Errorf("the latest pkg/errors: %v", items)
	}
	if none := items["github.com/google/uuid@v99.0.0"]; none == nil || none["version"] != nil {
		t.Errorf("a version that is not there: %v", items)
	}
}
