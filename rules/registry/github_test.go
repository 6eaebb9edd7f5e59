package registry_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"cbuild/engine"
	"cbuild/rules/download"
	"cbuild/rules/registry"
	"cbuild/rules/registry/fakes"
)

func newGitHub(t *testing.T, env ...string) *universe {
	t.Helper()
	u := newUniverse(t, env...)
	for _, tag := range []string{"v1.0", "v1.1", "draft", "v1.2", "release/2"} {
		p := fakes.Package{Name: "o/r", Version: tag, Files: map[string]string{"tool linux.tar.gz": tag}, Unchecked: tag == "v1.0"}
		if tag == "draft" {
			p.Yanked = "not yet"
		}
		u.Add("github-releases", p)
	}
	return u
}

func TestGitHubReleases(t *testing.T) {
	u := newGitHub(t)
	reg := registry.NewGitHub(u.options())
	items, _, err := collect(t.Context(), reg, engine.Object{"repo": "o/r"})
	wantKeys(t, items, err, "v1.0", "v1.1", "v1.2", "release/2")
	checkFields(t, reg, items)
	asset := items["v1.2"]["assets"].(engine.Object)["tool linux.tar.gz"].(engine.Object)
	if asset["url"] != "github-releases:o/r/releases/download/v1.2/tool%20linux.tar.gz" || asset["size"] != int64(4) || len(asset["sha256"].(string)) != 64 {
		t.Errorf("asset %v", asset)
	}
	if old := items["v1.0"]["assets"].(engine.Object)["tool linux.tar.gz"].(engine.Object); old["sha256"] != nil {
		t.Errorf("an asset without a digest: %v", old)
	}
	if items["v1.0"]["time"] != "2024-01-02T03:04:05Z" || items["release/2"]["url"] != "github-releases:o/r/archive/refs/tags/release/2.tar.gz" {
		t.Errorf("%v", items)
	}
	if n := u.Count("/github/repos/o/r/releases"); n != 3 {
		t.Errorf("%d pages", n)
	}
	mirrors, err := reg.Mirrors(t.Context(), asset["url"].(string))
	if err != nil || mirrors[0].URL != u.base+"/github/o/r/releases/download/v1.2/tool%20linux.tar.gz" {
		t.Errorf("%v, %v", mirrors, err)
	}
	for _, address := range []string{"github-releases:o/r", "github-releases:../r/x", "github-releases:o/r/%2e%2e/x", "github-releases:o/r/%zz"} {
		if _, err := reg.Mirrors(t.Context(), address); !errors.As(err, new(*engine.InvalidError)) {
			t.Errorf("%s: %v", address, err)
		}
	}
	items, _, err = collect(t.Context(), reg, engine.Object{"repo": list("o/r", "o/none")})
	wantKeys(t, items, err, "o/r@v1.0", "o/r@v1.1", "o/r@v1.2", "o/r@release/2", "o/none")
}

// A token is for the place that answers questions, not for the one that has files.
func TestGitHubTokens(t *testing.T) {
	for _, name := range []string{"GITHUB_TOKEN", "GH_TOKEN"} {
		u := newGitHub(t, name+"=s3cr3t", "GITHUB_SERVER_URL=https://github.example")
		u.SetToken("s3cr3t")
		items, _, err := collect(t.Context(), registry.NewGitHub(u.options()), engine.Object{"repo": "o/r"})
		if err != nil || len(items) != 4 {
			t.Errorf("%s: %v, %v", name, items, err)
		}
	}
	u := newGitHub(t)
	u.SetToken("s3cr3t")
	if _, _, err := collect(t.Context(), registry.NewGitHub(u.options()), engine.Object{"repo": "o/r"}); download.Status(err) != 401 {
		t.Errorf("without one: %v", err)
	}
}

func TestGitHubRateLimits(t *testing.T) {
	reset := strconv.FormatInt(time.Now().Add(3*time.Minute).Unix(), 10)
	for name, c := range map[string]struct {
		status  int
		headers []string
		waits   bool
	}{
		"hourly":       {403, []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", reset}, true},
		"hourly, 429":  {429, []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", reset}, true},
		"retry after":  {403, []string{"Retry-After", "60"}, true},
		"forbidden":    {403, []string{"X-RateLimit-Remaining", "17"}, false},
		"reset passed": {403, []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1000"}, true},
	} {
		u := newGitHub(t)
		u.Answer("/github/repos/o/r/releases", c.status, c.headers...)
		items, _, err := collect(t.Context(), registry.NewGitHub(u.options()), engine.Object{"repo": "o/r"})
		trouble, ok := errors.AsType[*engine.TroubleError](err)
		if ok != c.waits || ok && (trouble.After <= 0 || trouble.After > 10*time.Minute || !strings.Contains(err.Error(), "GITHUB_TOKEN")) {
			t.Errorf("%s: %v", name, err)
		}
		if !c.waits && items["o/r"] == nil {
			t.Errorf("%s: %v, %v", name, items, err)
		}
	}
}

func TestGitHubArgumentsAreChecked(t *testing.T) {
	reg := registry.NewGitHub(registry.Options{})
	for want, args := range map[string]engine.Object{
		"unknown argument": {"repo": "o/r", "tag": "x"},
		"repo is missing":  {},
		"OWNER/NAME":       {"repo": "o/.."},
		"is not OWNER":     {"repo": list("o/r", "o")},
	} {
		if _, err := reg.Starts(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Starts(%v): error %v, want one with %q", args, err, want)
		}
	}
}
