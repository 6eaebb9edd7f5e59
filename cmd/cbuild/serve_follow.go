package main

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"cbuild/internal/live"
	"cbuild/rules/report"
)

// A follower looks at the newest build for all who look at its page, and keeps what it saw last: a build that ends leaves its page.
type follower struct {
	dir     string // of the sockets
	past    *past
	looking atomic.Int64 // who looks

	mu      sync.Mutex
	event   liveEvent      // guarded by mu
	shot    *live.Snapshot // guarded by mu; nil before there is anything
	changed chan struct{}  // guarded by mu; closed when there is something new
}

// liveEvent is what a page is told: the state of a build, with the members of its Build beside the others, and which rows it is about.
type liveEvent struct {
	liveState
	Report liveGeneration `json:"report"`
}

// liveGeneration tells the data of the page from those before.
type liveGeneration struct {
	Label      string `json:"label,omitempty"`
	Rows       int    `json:"rows"`
	Generation int    `json:"generation"`
}

func newFollower(dir string, p *past) *follower {
	return &follower{dir: dir, past: p, changed: make(chan struct{})}
}

// How often a build is asked how it is, and how often at most for the data of its page.
const (
	lookEvery = 500 * time.Millisecond
	shotEvery = time.Second
)

// follow looks until ctx ends, as long as anybody looks at the page.
func (f *follower) follow(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	w := &looker{follower: f}
	defer w.leave()
	for {
		if f.looking.Load() > 0 || !f.started() {
			w.look(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// started reports whether there is anything to be seen.
func (f *follower) started() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.shot != nil
}

// publish tells what is new.
func (f *follower) publish(e liveEvent, shot *live.Snapshot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e.Report.Generation = f.event.Report.Generation
	if shot != nil {
		f.shot = shot
		e.Report.Generation++
	}
	f.event = e
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *follower) now() (liveEvent, *live.Snapshot, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.event, f.shot, f.changed
}

// A looker looks at one build after the other.
type looker struct {
	*follower
	view *live.View // nil while no build runs
	seen string     // the build whose data were taken last
	of   string     // the report
	rows int        // that they hold
	next time.Time  // when data may be taken again
}

func (w *looker) leave() {
	if w.view != nil {
		w.view.Close()
		w.view = nil
	}
}

// look looks once.
func (w *looker) look(ctx context.Context) {
	if w.view == nil {
		w.view, _ = live.Find(ctx, w.dir)
	}
	if w.view == nil {
		w.last(ctx)
		return
	}
	var s liveState
	if err := w.view.State(ctx, &s); err != nil {
		w.leave() // it is over: the history says how
		return
	}
	e := liveEvent{liveState: s}
	if len(s.Reports) > 0 {
		e.Report.Label, e.Report.Rows = s.Reports[0].Label, s.Reports[0].Rows
	} else {
		e.Report.Rows = w.results(s.ID)
	}
	w.publish(e, w.take(ctx, e))
}

// results returns how many results the build with an ID has, as far as that was looked up: all are read for it.
func (w *looker) results(id string) int {
	if w.seen == id && w.of == "" && time.Now().Before(w.next) {
		return w.rows
	}
	return w.past.count(id)
}

// take takes the data of a page if there are new ones and it is time.
func (w *looker) take(ctx context.Context, e liveEvent) *live.Snapshot {
	same := w.seen == e.ID && w.of == e.Report.Label
	if same && (w.rows == e.Report.Rows || time.Now().Before(w.next)) {
		return nil
	}
	start := time.Now()
	var shot *live.Snapshot
	var err error
	if e.Report.Label != "" {
		shot, err = w.view.Snapshot(ctx, e.Report.Label)
	} else {
		shot, _, err = w.past.instances(ctx, e.ID)
	}
	w.next = time.Now().Add(max(shotEvery, 10*time.Since(start)))
	if err != nil || shot == nil {
		return nil
	}
	w.seen, w.of, w.rows = e.ID, e.Report.Label, e.Report.Rows
	return shot
}

// last shows the newest build that is over, if it is not shown yet.
func (w *looker) last(ctx context.Context) {
	b, err := w.past.newest()
	e, shot, _ := w.now()
	if err != nil || e.ID == b.ID && e.Outcome == b.Outcome {
		return
	}
	if e.ID != b.ID || shot == nil || e.Report.Label == "" {
		e.Report = liveGeneration{Rows: w.past.count(b.ID)}
		if shot, e.Build, err = w.past.instances(ctx, b.ID); err != nil {
			return
		}
		w.seen, w.of, w.rows = b.ID, "", e.Report.Rows
	} else if shot, err = w.past.rows(ctx, b.ID, e.Report.Label); err != nil {
		shot = nil // the report of what was ended early is not stored: the rows that were seen last stay
	}
	e.ID, e.Args, e.Outcome, e.Running, e.Waiting = b.ID, b.Args, b.Outcome, nil, nil
	w.publish(e, shot)
}

func (f *follower) routes(to routes) {
	to.get("/live/{$}", func(w http.ResponseWriter, _ *http.Request) { livePage(w, "cbuild") })
	to.get("/live/pack", func(w http.ResponseWriter, r *http.Request) {
		f.looking.Add(1)
		defer f.looking.Add(-1)
		if shot := f.await(r.Context()); shot != nil {
			servePack(w, shot)
			return
		}
		http.Error(w, "no build has run here yet", http.StatusNotFound)
	})
	to.get("/live/detail/{n}", func(w http.ResponseWriter, r *http.Request) {
		_, shot, _ := f.now()
		serveDetail(w, r, shot)
	})
	to.get("/live/events", f.events)
	to.get("/live/log/{label}", func(w http.ResponseWriter, r *http.Request) {
		e, _, _ := f.now()
		f.past.log(w, r, e.ID, r.PathValue("label"))
	})
}

// await returns the data of the page, once there are any; nil if that takes too long.
func (f *follower) await(ctx context.Context) *live.Snapshot {
	ctx, cancel := context.WithTimeout(ctx, 20*lookEvery)
	defer cancel()
	for {
		_, shot, changed := f.now()
		if shot != nil {
			return shot
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// events tells a page what happens, as server-sent events.
func (f *follower) events(w http.ResponseWriter, r *http.Request) {
	f.looking.Add(1)
	defer f.looking.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	for {
		e, _, changed := f.now()
		if e.ID != "" {
			if tell(w, e) != nil {
				return
			}
		} else if _, err := io.WriteString(w, ": no build has run here yet\n\n"); err != nil {
			return
		}
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func tell(w io.Writer, e liveEvent) error {
	if e.Running == nil {
		e.Running = []liveRun{}
	}
	if e.Waiting == nil {
		e.Waiting = []string{}
	}
	build := e.Build
	e.Build, e.Reports = nil, nil
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if len(build) > len("{}") {
		data = append(append(data[:len(data)-1], ','), build[1:]...)
	}
	_, err = fmt.Fprintf(w, "event: build\ndata: %s\n\n", data)
	return err
}

// livePage writes a page that asks for its data.
func livePage(w http.ResponseWriter, title string) {
	ourPage(w)
	_, _ = io.WriteString(w, report.LivePage(title)) // who went away needs no answer
}

// servePack writes the data of a page, and says by which name its details are to be asked for.
func servePack(w http.ResponseWriter, shot *live.Snapshot) {
	w.Header().Set("Generation", generation(shot))
	servePart(w, shot.Pack)
}

// generation tells the data of a page from those before and after.
func generation(shot *live.Snapshot) string {
	return strconv.FormatUint(uint64(crc32.ChecksumIEEE(shot.Pack)), 16)
}

// servePart writes what is compressed, as it is.
func servePart(w http.ResponseWriter, data []byte) {
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(data) // who went away needs no answer
}

func serveDetail(w http.ResponseWriter, r *http.Request, shot *live.Snapshot) {
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil || shot == nil || n < 0 || n >= len(shot.Chunks) {
		http.Error(w, "there is no such part", http.StatusNotFound)
		return
	}
	if of := r.URL.Query().Get("of"); of != "" && of != generation(shot) {
		http.Error(w, "the page has newer data", http.StatusConflict)
		return
	}
	servePart(w, shot.Chunks[n])
}
