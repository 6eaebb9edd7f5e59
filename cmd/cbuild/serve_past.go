package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"cbuild/cas"
	"cbuild/cas/local"
	"cbuild/engine"
	"cbuild/internal/history"
	"cbuild/internal/live"
	"cbuild/internal/ui"
	"cbuild/rules/report"
)

// past shows builds that are in the history, with what the store still has of them.
type past struct {
	store   *local.Local
	history *history.History

	mu   sync.Mutex
	seen *pastBuild // guarded by mu; the one that was looked at last
}

// A pastBuild is a build that is over, as a page shows it.
type pastBuild struct {
	id    string
	shot  *live.Snapshot
	build json.RawMessage
}

func (p *past) routes(to routes) {
	to.get("/build/{id}/{$}", func(w http.ResponseWriter, _ *http.Request) { livePage(w, "cbuild") })
	to.get("/build/{id}/pack", func(w http.ResponseWriter, r *http.Request) {
		if shot := p.shot(w, r); shot != nil {
			servePack(w, shot)
		}
	})
	to.get("/build/{id}/detail/{n}", func(w http.ResponseWriter, r *http.Request) {
		if shot := p.shot(w, r); shot != nil {
			serveDetail(w, r, shot)
		}
	})
	to.get("/build/{id}/events", p.events)
	to.get("/build/{id}/log/{label}", func(w http.ResponseWriter, r *http.Request) {
		p.log(w, r, r.PathValue("id"), r.PathValue("label"))
	})
	to.get("/build/{id}/report/{label}/{file...}", p.report)
}

// find returns the build that a request names, or answers that there is none.
func (p *past) find(w http.ResponseWriter, r *http.Request) (history.Build, bool) {
	b, err := p.history.Find(r.PathValue("id"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
	}
	return b, err == nil
}

func (p *past) shot(w http.ResponseWriter, r *http.Request) *live.Snapshot {
	b, ok := p.find(w, r)
	if !ok {
		return nil
	}
	shot, _, err := p.instances(r.Context(), b.ID)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return nil
	}
	return shot
}

// events tells how the build ended: nothing more happens.
func (p *past) events(w http.ResponseWriter, r *http.Request) {
	b, ok := p.find(w, r)
	if !ok {
		return
	}
	_, build, err := p.instances(r.Context(), b.ID)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	e := liveEvent{liveState: liveState{ID: b.ID, Args: b.Args, Outcome: b.Outcome, Build: build}}
	if tell(w, e) == nil && http.NewResponseController(w).Flush() == nil {
		<-r.Context().Done()
	}
}

// newest returns the last build.
func (p *past) newest() (history.Build, error) {
	if err := p.history.Refresh(); err != nil {
		return history.Build{}, err
	}
	return p.history.Find("@1")
}

// count returns how many results a build has so far.
func (p *past) count(id string) (n int) {
	_ = p.history.Results(id, func(history.Result) error { // one that can't be read has none
		n++
		return nil
	})
	return n
}

// maxInstances is how many results of a build are shown.
const maxInstances = 200_000

// maxExplained is how many results of a build are shown with the ends of their logs.
const maxExplained = 2000

// instances returns the data of a page of all results of a build, which is what there is to see of one without a report, and its report.Build as
// JSON.
func (p *past) instances(ctx context.Context, id string) (*live.Snapshot, json.RawMessage, error) {
	p.mu.Lock()
	seen := p.seen
	p.mu.Unlock()
	if seen != nil && seen.id == id {
		return seen.shot, seen.build, nil
	}
	b, err := p.history.Find(id)
	title, over := "cbuild", false
	if err == nil {
		title += " " + ui.ShellWords(b.Args...)
		over = b.Outcome != history.Running
	}
	rows, targets, err := p.results(id)
	if err != nil && !errors.Is(err, errNoResults) {
		return nil, nil, err
	}
	head := &report.Head{Title: strings.TrimSpace(title), Columns: []string{"target"}, Summary: make(map[report.Class]int)}
	p.arrange(ctx, head, rows)
	build := &report.Build{Began: b.Began, Took: b.Took, Targets: targets}
	shot := report.NewSnapshot(report.PageOptions{Build: func() *report.Build { return build }})
	err = report.Render(head, func(yield func(*report.Row, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}, shot)
	now := &pastBuild{id, &live.Snapshot{Pack: shot.Pack, Chunks: shot.Chunks}, build.JSON()}
	if err == nil && over {
		p.mu.Lock()
		p.seen = now
		p.mu.Unlock()
	}
	return now.shot, now.build, err
}

// results returns what is known of a build: a row for each instance, and how far each target was.
func (p *past) results(id string) (rows []*report.Row, all []report.Target, err error) {
	targets := make(map[string]*report.Target)
	err = p.history.Results(id, func(r history.Result) error {
		t := targets[r.Target]
		if t == nil {
			_, name, _ := strings.Cut(r.Target, ":")
			t = &report.Target{Label: r.Target, Name: name, Rule: r.Rule, Counts: make(map[engine.Class]int)}
			targets[r.Target] = t
		}
		t.Done, t.Total = t.Done+1, t.Total+1
		t.Counts[engine.Class(r.Outcome)]++
		t.Took += time.Duration(r.Ms) * time.Millisecond
		if r.Cached != "" && r.Cached != engine.NotCached.String() {
			t.Cached++
		}
		if len(rows) < maxInstances {
			rows = append(rows, instanceRow(&r))
		}
		return nil
	})
	for _, t := range targets {
		all = append(all, *t)
	}
	slices.SortFunc(all, func(x, y report.Target) int { return cmp.Compare(x.Label, y.Label) })
	return rows, all, err
}

func instanceRow(r *history.Result) *report.Row {
	side := report.Side{Outcome: engine.Class(r.Outcome), Ran: r.Cached != "", ExitCode: r.ExitCode}
	side.Extra = report.Extra{Label: r.Label(), Took: time.Duration(r.Ms) * time.Millisecond}
	switch r.Cached {
	case engine.CachedLocal.String():
		side.Extra.Cached = engine.CachedLocal
	case engine.CachedRemote.String():
		side.Extra.Cached = engine.CachedRemote
	case "":
		side.Cause = r.Why
	}
	side.Extra.Key, _ = engine.ParseKey(r.Key)
	return &report.Row{Key: r.Label(), Class: report.Class(r.Outcome), Columns: []engine.Value{r.Target}, Sides: []report.Side{side}}
}

// arrange counts the rows, sorts them as a report does, and explains those that need a look.
func (p *past) arrange(ctx context.Context, head *report.Head, rows []*report.Row) {
	place := make(map[report.Class]int)
	for i, c := range report.Classes(false) {
		place[c] = i
	}
	for _, r := range rows {
		head.Summary[r.Class]++
	}
	head.Count = len(rows)
	slices.SortStableFunc(rows, func(x, y *report.Row) int {
		return cmp.Or(cmp.Compare(place[x.Class], place[y.Class]), cmp.Compare(x.Key, y.Key))
	})
	for _, r := range rows[:min(len(rows), maxExplained)] {
		if !r.Class.Quiet() {
			p.explain(ctx, r)
		}
	}
}

// excerptBytes is what is shown of a log, and logBytes the most that is read for it.
const (
	excerptBytes = 8 << 10
	logBytes     = 16 << 20
)

func (p *past) explain(ctx context.Context, r *report.Row) {
	side := &r.Sides[0]
	var log []byte
	if rec, err := p.store.Stored(ctx, side.Extra.Key); err == nil && rec != nil && rec.Result.Log.Size > 0 {
		if log, err = cas.ReadAll(ctx, p.store, rec.Result.Log, logBytes); err == nil {
			side.Extra.Texts = []report.Excerpt{{Name: "log", Text: report.Cut(report.Clean(string(log)), excerptBytes)}}
		}
	}
	r.Detail = &report.Detail{}
	r.Detail.Error, r.Detail.Cause = report.CauseOf(side, report.Clean(string(log)))
}

// log writes the log of an instance in a build.
func (p *past) log(w http.ResponseWriter, r *http.Request, id, label string) {
	plainText(w)
	key, err := p.key(id, func(res *history.Result) bool { return res.Label() == label })
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	rec, err := p.store.Stored(r.Context(), key)
	if err != nil || rec == nil {
		http.Error(w, "its result is not stored", http.StatusNotFound)
		return
	}
	if rec.Result.Log.Size == 0 {
		_, _ = io.WriteString(w, "It printed nothing.\n") // who went away needs no answer
		return
	}
	p.copy(w, r, rec.Result.Log)
}

func (p *past) copy(w http.ResponseWriter, r *http.Request, d cas.Digest) {
	blob, err := p.store.Open(r.Context(), d)
	if err != nil {
		http.Error(w, "it is not in the store any more", http.StatusNotFound)
		return
	}
	defer blob.Close()
	_, _ = io.Copy(w, blob) // what is damaged ends early, and who went away needs no answer
}

var errNoResults = errors.New("nothing is known of it")

// key returns the key of the last instance in a build that is looked for.
func (p *past) key(id string, wanted func(*history.Result) bool) (key engine.Key, err error) {
	err = p.history.Results(id, func(r history.Result) error {
		if wanted(&r) && r.Key != "" {
			var err error
			key, err = engine.ParseKey(r.Key)
			return err
		}
		return nil
	})
	if err == nil && key.IsZero() {
		err = errNoResults
	}
	return key, err
}

// report serves the files of a report as the build made it.
func (p *past) report(w http.ResponseWriter, r *http.Request) {
	b, ok := p.find(w, r)
	if !ok {
		return
	}
	file := cmp.Or(r.PathValue("file"), reportPage)
	d, err := p.file(r.Context(), b.ID, r.PathValue("label"), file)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	p.serveFile(w, r, file, d)
}

// reportPage is the file of a report that a browser shows.
const reportPage = "index.html"

// file returns a file of a report as a build made it.
func (p *past) file(ctx context.Context, id, label, name string) (cas.Digest, error) {
	key, err := p.key(id, func(res *history.Result) bool { return isReport(res) && res.Label() == label })
	if err != nil {
		return cas.Digest{}, err
	}
	rec, err := p.store.Stored(ctx, key)
	if err != nil || rec == nil || len(rec.Result.Outs) == 0 {
		return cas.Digest{}, errors.New("the report is not in the store any more")
	}
	for e, err := range cas.Walk(ctx, p.store, rec.Result.Shown()[0].Digest) {
		if err != nil {
			return cas.Digest{}, err
		}
		if e.Path == name && e.Kind == cas.FileEntry {
			return e.Digest, nil
		}
	}
	return cas.Digest{}, errors.New("the report has no such file")
}

// rows returns the data of the page of a report as a build made it.
func (p *past) rows(ctx context.Context, id, label string) (*live.Snapshot, error) {
	d, err := p.file(ctx, id, label, reportPage)
	if err != nil {
		return nil, err
	}
	page, err := cas.ReadAll(ctx, p.store, d, maxPage)
	if err != nil {
		return nil, err
	}
	s, err := report.ReadPage(page)
	if err != nil {
		return nil, err
	}
	return &live.Snapshot{Pack: s.Pack, Chunks: s.Chunks}, nil
}

// maxPage is the most, in bytes, that is read of a page.
const maxPage = 256 << 20

// serveFile serves a file of a report. Its page has a policy of its own; all else is hostile, whatever it is.
func (p *past) serveFile(w http.ResponseWriter, r *http.Request, name string, d cas.Digest) {
	plainText(w)
	if name == reportPage {
		ourPage(w)
	} else if strings.HasPrefix(name, "files/") {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", "attachment; filename*=UTF-8''"+url.PathEscape(path.Base(name)))
	}
	p.copy(w, r, d)
}

// reports names the reports of a build that are stored.
func (p *past) reports(id string) (labels []string) {
	_ = p.history.Results(id, func(r history.Result) error { // one that can't be read has none
		if isReport(&r) {
			labels = append(labels, r.Label())
		}
		return nil
	})
	return labels
}

// isReport reports whether r is a report that is stored. Only such a thing is shown as a page: what commands made may be one, too.
func isReport(r *history.Result) bool {
	return r.Rule == "collate" && r.Outcome == "pass" && r.Key != ""
}

// link is the address of something below the one that serve printed.
func link(parts ...string) string {
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return fmt.Sprint(strings.Join(parts, "/"), "/")
}
