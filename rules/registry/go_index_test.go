package registry_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"cbuild/engine"
	"cbuild/rules/download"
	"cbuild/rules/registry"
)

// indexServer serves lines as the module index does: from a time on, that included, at most 2000.
func indexServer(t *testing.T, lines []string) (base string, requests *int) {
	t.Helper()
	requests = new(int)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*requests++
		n := 0
		for _, l := range lines {
			_, when, _ := strings.Cut(l, `"Timestamp":"`)
			if when, _, _ = strings.Cut(when, `"`); when >= r.URL.Query().Get("since") && n < 2000 {
				fmt.Fprintln(w, l)
				n++
			}
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, requests
}

func indexLines(n, perTime int) (lines []string) {
	for i := range n {
		when := fmt.Sprintf("2019-04-10T19:%02d:%02d.%06dZ", i/perTime/3600%60, i/perTime/60%60, i/perTime)
		b, _ := json.Marshal(map[string]string{"Path": fmt.Sprintf("example.com/m%d", i), "Version": "v1.0.0", "Timestamp": when}) //nolint:errchkjson // strings
		lines = append(lines, string(b))
	}
	return lines
}

// Pages overlap where several lines have the time at which one ends: each line comes once, and none is lost.
func TestGoIndex(t *testing.T) {
	lines := indexLines(4503, 3)
	lines = append(lines, `{"Path":"../x","Version":"v1.0.0","Timestamp":"2020-01-01T00:00:00Z"}`, `{"Path":"example.com/y","Version":"master","Timestamp":"2020-01-01T00:00:00Z"}`)
	base, requests := indexServer(t, lines)
	reg := registry.NewGo(registry.GoOptions{Client: download.New(download.Options{})})
	items, _, err := collect(t.Context(), reg, engine.Object{"index": base})
	if err != nil || len(items) != 4503 || *requests != 3 {
		t.Fatalf("%d items in %d requests, %v", len(items), *requests, err)
	}
	checkFields(t, reg, items)
	if item := items["example.com/m7@v1.0.0"]; item["url"] != "go:example.com/m7@v1.0.0.zip" || item["time"] == nil || item["h1"] != nil {
		t.Errorf("%v", item)
	}
	items, _, err = collect(t.Context(), reg, engine.Object{"index": base, "limit": int64(2500)})
	if err != nil || len(items) != 2500 {
		t.Errorf("with a limit: %d items, %v", len(items), err)
	}
	items, _, err = collect(t.Context(), reg, engine.Object{"index": base, "since": "2019-04-10T19:00:00.000000Z", "limit": int64(3)})
	wantKeys(t, items, err, "example.com/m0@v1.0.0", "example.com/m1@v1.0.0", "example.com/m2@v1.0.0")
}

// An index that does not get further is an end with an error, not a circle.
func TestGoIndexThatStandsStill(t *testing.T) {
	base, requests := indexServer(t, indexLines(2500, 5000))
	reg := registry.NewGo(registry.GoOptions{Client: download.New(download.Options{})})
	_, _, err := collect(t.Context(), reg, engine.Object{"index": base})
	if err == nil || !strings.Contains(err.Error(), "of one time") || *requests > 3 {
		t.Errorf("%v after %d requests", err, *requests)
	}
}

func TestGoIndexArguments(t *testing.T) {
	reg := registry.NewGo(registry.GoOptions{})
	for want, args := range map[string]engine.Object{
		"either modules": {"index": true, "modules": list("a")},
		"index: want":    {"index": int64(1)},
		"since":          {"index": true, "since": "yesterday"},
		"limit: want":    {"index": true, "limit": "ten"},
		"not an http":    {"index": "ftp://x"},
	} {
		if _, err := reg.Starts(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Starts(%v): error %v, want one with %q", args, err, want)
		}
	}
}

// A module with many versions comes in pages, in order.
func TestAllVersionsComeInPages(t *testing.T) {
	w := newWorld(t, "GOSUMDB=off")
	var versions []string
	for i := range 250 {
		versions = append(versions, fmt.Sprintf("v1.%d.0", i))
	}
	w.Add(mod("example.com/a", versions...)...)
	starts, err := w.reg.Starts(engine.Object{"modules": list("example.com/a"), "versions": "all"})
	if err != nil {
		t.Fatal(err)
	}
	pages, next := 0, 0
	for page, err := range starts[0].Pages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, item := range page.Items {
			if item.Key != "example.com/a@"+versions[next] {
				t.Errorf("%s, want %s", item.Key, versions[next])
			}
			next++
		}
	}
	if pages != 3 || next != 250 {
		t.Errorf("%d versions in %d pages", next, pages)
	}
}
