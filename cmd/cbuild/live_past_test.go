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
	s.checkPolicies(s.told().ID, at("//:report[b]"))
}

// checkPolicies looks at what a browser is allowed, whatever is answered, and at addresses that are almost right.
func (s *serving) checkPolicies(id, report string) {
	t := s.w.t
	t.Helper()
	for _, path := range []string{"", "live", "live/", "live/pack", "live/detail/9", "build/nonesuch/", "build/" + id, "build/" + id + "/pack", report, report + "results.csv", "none"} {
		_, head, _ := s.get(path)
		if p := head.Get("Content-Security-Policy"); !strings.Contains(p, "frame-ancestors 'none'") {
			t.Errorf("%s: the policy is %q", path, p)
		}
		if page := path == "" || strings.HasPrefix(path, "live") && len(path) < 6 || strings.HasSuffix(path, id) || strings.HasSuffix(path, "/"); !page && !strings.Contains(head.Get("Content-Security-Policy"), "sandbox;") {
			t.Errorf("%s: the policy is %q", path, head.Get("Content-Security-Policy"))
		}
	}
	base := s.base
	s.base = strings.TrimSuffix(base, "/")
	if status, _, body := s.get(""); status != http.StatusOK || !strings.Contains(body, "Builds of") {
		t.Errorf("without its slash, the address is answered with %d %s", status, body)
	}
	s.base = base
	if status, _, body := s.get("live"); status != http.StatusOK || !strings.Contains(body, "data-live") {
		t.Errorf("live: %d %.200s", status, body)
	}
}
