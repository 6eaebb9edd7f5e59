package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// pagesFile reads a registry twice: by cursor, and by offset.
const pagesFile = `
cbuild {}

variable "server" {}

query "cursor" {
  url   = "${var.server}/cursor?after="
  items = { for i in page.json.items : i.name => i }
  next  = try("${var.server}/cursor?after=${urlencode(page.json.next)}", null)
}

query "offset" {
  url   = "${var.server}/offset?from=0"
  items = { for i in page.json.items : i.name => i }
  next  = length(page.json.items) > 0 ? "offset?from=${page.index * 2 + 2}" : null
}

run "count" {
  command = ["echo", length(query.cursor), length(query.offset)]
  stdout  = "o"
}
`

// TestManyPages reads ten thousand pages with the real command: each is asked for once, also if the build is killed in between, and none
// again.
func TestManyPages(t *testing.T) {
	pages := 5000
	if testing.Short() {
		pages = 500
	}
	var asked atomic.Int64
	item := func(n int) string { return fmt.Sprintf(`{"name": "package-%06d", "version": "1.%d.0"}`, n, n) }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		from, next := 0, ""
		if r.URL.Path == "/cursor" {
			from, _ = strconv.Atoi(strings.TrimPrefix(r.URL.Query().Get("after"), "c "))
			if from+2 < 2*pages {
				next = fmt.Sprintf(`, "next": "c %d"`, from+2)
			}
		} else {
			from, _ = strconv.Atoi(r.URL.Query().Get("from"))
		}
		items := ""
		if from < 2*pages {
			items = item(from) + ", " + item(from+1)
		}
		fmt.Fprintf(w, `{"items": [%s]%s}`, items, next)
	}))
	defer server.Close()
	w := newWorld(t, nil, map[string]string{"BUILD.hcl": pagesFile})

	p := w.start("killed.json", "count", "server="+server.URL)
	w.until("half of the pages are read", func() bool { return asked.Load() >= int64(pages) })
	_ = p.Process.Kill()
	p.wait()
	before := asked.Load()
	w.peak = filepath.Join(w.home, "peak")
	done, _ := w.build(0, "count", "server="+server.URL)
	peak, err := strconv.Atoi(w.read("../peak"))
	check(t, err)
	w.peak = ""
	// Each of the two queries may have had one page under way, whose answer was lost.
	if all := asked.Load(); all < int64(2*pages+1) || all > int64(2*pages+1+2) {
		t.Errorf("%d requests (%d before the kill) for %d pages", all, before, 2*pages+1)
	}
	if got, want := w.read(filepath.Join("cbuild-out", "count", "o")), fmt.Sprintf("%d %d\n", 2*pages, 2*pages); got != want {
		t.Errorf("items %q, want %q", got, want)
	}
	asked.Store(0)
	again, _ := w.build(0, "count", "server="+server.URL, "--frozen")
	t.Logf("%d pages: first build after the kill %v, peak %d KiB; again %v", 2*pages+1, done.ProcessState.UserTime(), peak, again.ProcessState.UserTime())
	if asked.Load() != 0 {
		t.Errorf("%d requests, want none", asked.Load())
	}
	if peak > 256<<10 {
		t.Errorf("%d KiB are more than 256 MiB", peak)
	}
}
