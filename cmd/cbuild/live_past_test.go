package main_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// pastFile has what looks like a report and is none, and reports of several instances.
const pastFile = `
run "site" {
  script = "mkdir -p $out; echo '<script>alert(1)</script>' > $out/index.html"
  out    = "report/"
}

run "try" {
  for_each = ["x"]
  matrix   = { n = ["a", "b", "c"] }
  env      = { N = axis.n }
  script   = "echo $N"
}

collate "report" {
  for_each = ["b", "c"]
  title    = "against ${each.key}"
  rows     = run.try
  compare  = ["a", each.key]
}
`

// Of an earlier build each report is shown, of each instance its own, and nothing else: what a command made has no page of ours, whatever
// its name is.
func TestServeShowsNothingButReportsAsPages(t *testing.T) {
	w := newWorld(t, nil, map[string]string{"BUILD.hcl": pastFile})
	w.env = openSandbox
	w.build(0, "site", "report")
	s := w.serve()
	w.until("the build is seen", func() bool { return s.told().Outcome == "pass" })
	at := func(label string) string { return "build/" + s.told().ID + "/report/" + url.PathEscape(label) + "/" }
	_, _, list := s.get("")
	for _, key := range []string{"b", "c"} {
		status, _, body := s.get(at("//:report[" + key + "]"))
		if status != http.StatusOK || !strings.Contains(body, "<title>against "+key+"</title>") {
			t.Errorf("the report of %s: %d %.300s", key, status, body)
		}
		if !strings.Contains(list, "report%5B"+key+"%5D/") {
			t.Errorf("the list has no link to it:\n%s", list)
		}
	}
	for _, label := range []string{"//:site", "//:report", "//:try[x][a]"} {
		for _, file := range []string{"", "index.html"} {
			if status, _, body := s.get(at(label) + file); status != http.StatusNotFound {
				t.Errorf("%s: %d %.100s", at(label)+file, status, body)
			}
		}
	}
}
