package main

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"cbuild/internal/history"
	"cbuild/internal/ui"
)

// overviewStyle is the look of the list of builds; its page may have no other.
const overviewStyle = `
:root { color-scheme: light dark; --dim: #6a7080; --line: #d9dce3; --good: #1a7f37; --bad: #b3261e; --run: #2456c8; }
@media (prefers-color-scheme: dark) { :root { --dim: #98a0b0; --line: #333945; --good: #56c271; --bad: #ff7b72; --run: #86aaff; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 28px auto; max-width: 1100px; padding: 0 20px; }
h1 { font-size: 22px; margin: 0 0 2px; }
p { color: var(--dim); margin: 0 0 20px; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: 7px 12px 7px 0; border-bottom: 1px solid var(--line); vertical-align: baseline; }
th { color: var(--dim); font-weight: 600; font-size: 13px; }
td.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code { font: 13px ui-monospace, monospace; overflow-wrap: anywhere; }
.pass { color: var(--good); } .running { color: var(--run); } .fail, .error, .killed, .cancelled { color: var(--bad); }
.dim { color: var(--dim); }
`

var overviewPage = template.Must(template.New("overview").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Builds of {{.Workspace}} · cbuild</title><style>` + overviewStyle + `</style></head><body>
<h1>Builds of {{.Workspace}}</h1>
<p><a href="live/">The build that runs, or the last one</a></p>
{{if .Builds}}<table><thead><tr><th>Began</th><th>Outcome</th><th>Command</th><th>Results</th><th>Took</th><th>Reports</th></tr></thead><tbody>
{{range .Builds}}<tr><td><a href="{{.Link}}">{{.Began}}</a></td><td class="{{.Outcome}}">{{.Outcome}}</td><td><code>{{.Command}}</code></td>
<td>{{.Results}}</td><td class="num">{{.Took}}</td><td>{{range .Reports}}<a href="{{.Link}}">{{.Name}}</a> {{end}}</td></tr>
{{end}}</tbody></table>{{else}}<p>No build has run here yet.</p>{{end}}
</body></html>
`))

// An overviewBuild is a line of the list of builds.
type overviewBuild struct {
	Link, Began, Outcome, Command, Results, Took string
	Reports                                      []overviewReport
}

type overviewReport struct{ Name, Link string }

// maxOverview is how many builds are listed, and maxListed how many of them with their reports, for which their results are read.
const (
	maxOverview = 100
	maxListed   = 20
)

// overview lists the builds.
func (s *server) overview(w http.ResponseWriter, _ *http.Request) {
	err := s.past.history.Refresh()
	var builds []history.Build
	if err == nil {
		builds, err = s.past.history.Builds(maxOverview)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	page := struct {
		Workspace string
		Builds    []overviewBuild
	}{Workspace: filepath.Base(s.root)}
	for i, b := range builds {
		line := overviewBuild{
			Link: link("build", b.ID), Began: b.Began.Local().Format(time.DateTime), Outcome: b.Outcome, Took: ui.Elapsed(b.Took),
			Command: strings.TrimSpace("cbuild " + ui.ShellWords(b.Args...)), Results: ui.Counts(b.Counts),
		}
		if b.Outcome == history.Running || b.Outcome == history.Killed {
			line.Took = ""
		}
		if i < maxListed {
			for _, label := range s.past.reports(b.ID) {
				line.Reports = append(line.Reports, overviewReport{label, link("build", b.ID, "report", label)})
			}
		}
		page.Builds = append(page.Builds, line)
	}
	sum := sha256.Sum256([]byte(overviewStyle))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	_ = overviewPage.Execute(w, page) // who went away needs no answer
}
