package ui_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/internal/ui"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixed is a clock that stands still.
type fixed struct{}

func (fixed) Now() time.Time {
	return time.Date(2026, 3, 4, 5, 6, 7, 800_000_000, time.FixedZone("X", 3600))
}
func (fixed) Elapsed() time.Duration { return time.Minute }

func (fixed) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func repeated(rule, name string, axes ...string) *engine.Target {
	return &engine.Target{Label: engine.Label{Dir: "d", Name: name}, Rule: rule, Repeated: true, Axes: axes}
}

func single(rule, name string) *engine.Target {
	return &engine.Target{Label: engine.Label{Name: name}, Rule: rule}
}

func TestEvents(t *testing.T) {
	log := cas.Of([]byte("log"))
	rows := cas.Of([]byte("rows"))
	key := engine.Key{1, 2}
	for name, test := range map[string]struct {
		event engine.Event
		want  string
	}{
		"as in the documentation": {
			engine.Event{
				Type: engine.EventFinished, Target: repeated("run", "gofmt", "go"), Instance: []string{"github.com/google/uuid@v1.6.0", "after"},
				Outcome: &engine.Outcome{Key: key, Result: &engine.Result{Status: engine.Fail, ExitCode: 1, Log: log}}, Took: 23456 * time.Microsecond, Why: "input src changed",
			},
			`{"v":1,"t":"2026-03-04T04:06:07.8Z","type":"finished","target":"//d:gofmt","rule":"run","instance":["github.com/google/uuid@v1.6.0","after"],"outcome":"fail","exit_code":1,"cached":"no","key":"` + key.String() + `","log":"` + log.String() + `","ms":23,"why":"input src changed"}`,
		},
		"without keys": {
			engine.Event{Type: engine.EventFinished, Target: single("write", "w"), Outcome: &engine.Outcome{Key: key, Cached: engine.CachedLocal, Result: &engine.Result{}}},
			`{"v":1,"t":"T","type":"finished","target":"//:w","rule":"write","instance":[],"outcome":"pass","exit_code":0,"cached":"local","key":"` + key.String() + `","ms":0}`,
		},
		"without a result": {
			engine.Event{Type: engine.EventFinished, Target: repeated("fetch", "f"), Instance: []string{"\u202ex\x1b\n\xff"}, Outcome: &engine.Outcome{Err: &engine.UnavailableError{Err: errors.New("404")}}, Why: "404"},
			`{"v":1,"t":"T","type":"finished","target":"//d:f","rule":"fetch","instance":["` + "\u202e" + `x\u001b\n\ufffd"],"outcome":"unavailable","ms":0,"why":"404"}`,
		},
		"a report": {
			engine.Event{Type: engine.EventFinished, Target: single("collate", "r"), Outcome: &engine.Outcome{Cached: engine.CachedRemote, Result: &engine.Result{Facts: map[string]string{"rows": rows.String(), "count": "1204"}}}},
			`{"v":1,"t":"T","type":"finished","target":"//:r","rule":"collate","instance":[],"outcome":"pass","exit_code":0,"cached":"remote","rows":"` + rows.String() + `","count":1204,"ms":0}`,
		},
		"a report that failed": {
			engine.Event{Type: engine.EventFinished, Target: single("collate", "r"), Outcome: &engine.Outcome{Err: engine.ErrCancelled}},
			`{"v":1,"t":"T","type":"finished","target":"//:r","rule":"collate","instance":[],"outcome":"cancelled","ms":0}`,
		},
		"started": {
			engine.Event{Type: engine.EventStarted, Target: repeated("run", "a"), Text: `run.a["k"]`},
			`{"v":1,"t":"T","type":"started","target":"//d:a","rule":"run","text":"run.a[\"k\"]"}`,
		},
		"a retry": {
			engine.Event{Type: engine.EventProgress, Target: single("fetch", "a"), Text: "fetch.a: 503", Attempt: 2, After: 1500 * time.Millisecond},
			`{"v":1,"t":"T","type":"progress","target":"//:a","rule":"fetch","text":"fetch.a: 503","attempt":2,"after_ms":1500}`,
		},
		"somebody else": {
			engine.Event{Type: engine.EventProgress, Target: single("fetch", "a"), Text: "fetch.a", Waiting: "host 7", Took: 2 * time.Second},
			`{"v":1,"t":"T","type":"progress","target":"//:a","rule":"fetch","ms":2000,"text":"fetch.a","waiting":"host 7"}`,
		},
		"an end": {
			engine.Event{Type: engine.EventProgress, Target: single("query", "q"), Text: "example.com/m", Done: 1, Total: 1},
			`{"v":1,"t":"T","type":"progress","target":"//:q","rule":"query","text":"example.com/m","done":1,"total":1}`,
		},
		"a page": {engine.Event{Type: engine.EventQueryPage, Target: single("query", "q"), Text: "go:m"}, `{"v":1,"t":"T","type":"query_page","target":"//:q","rule":"query","text":"go:m"}`},
		"a target": {
			engine.Event{Type: engine.EventTarget, Target: repeated("run", "a"), Done: 0, Total: 7, Open: true},
			`{"v":1,"t":"T","type":"target","target":"//d:a","rule":"run","done":0,"total":7,"open":true}`,
		},
		"a diagnostic": {engine.Event{Type: engine.EventDiagnostic, Severity: "warning", Text: "beware"}, `{"v":1,"t":"T","type":"diagnostic","text":"beware","severity":"warning"}`},
		"the begin":    {engine.Event{Type: engine.EventBuildStarted, Text: "1.0"}, `{"v":1,"t":"T","type":"build_started","text":"1.0"}`},
		"the end": {
			engine.Event{Type: engine.EventBuildFinished, Text: "pass", Counts: map[string]int{"pass": 2, "cached_local": 1}},
			`{"v":1,"t":"T","type":"build_finished","outcome":"pass","exit_code":0,"counts":{"cached_local":1,"pass":2}}`,
		},
	} {
		var b bytes.Buffer
		ev := ui.NewEvents(&b, fixed{}, false)
		ev.Observe(test.event)
		line := b.String()
		if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") {
			t.Errorf("%s: not one line: %q", name, line)
		}
		var got, want map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Errorf("%s: %v: %s", name, err, line)
			continue
		}
		if err := json.Unmarshal([]byte(strings.ReplaceAll(test.want, `"T"`, `"2026-03-04T04:06:07.8Z"`)), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if ev.Err() != nil {
			t.Error(ev.Err())
		}
	}
}

func TestEventsOfRunsOnly(t *testing.T) {
	var b bytes.Buffer
	ev := ui.NewEvents(&b, fixed{}, true)
	for _, cached := range []engine.Cached{engine.CachedLocal, engine.CachedRemote, engine.NotCached} {
		ev.Observe(engine.Event{Type: engine.EventFinished, Target: single("run", cached.String()), Outcome: &engine.Outcome{Cached: cached, Result: &engine.Result{}}})
	}
	if got := b.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"//:no"`) {
		t.Errorf("got %s", got)
	}
}

// broken is a file that can't be written.
type broken struct{ n int }

func (b *broken) Write([]byte) (int, error) {
	b.n++
	return 0, errors.New("no space")
}

func TestEventsThatCannotBeWritten(t *testing.T) {
	ev := ui.NewEvents(&broken{}, fixed{}, false)
	for range 3 {
		ev.Observe(engine.Event{Type: engine.EventBuildStarted})
	}
	if ev.Err() == nil {
		t.Error("no error")
	}
}

func TestSummaryLines(t *testing.T) {
	facts := func(count, summary, compared string) map[string]string {
		return map[string]string{"count": count, "summary": summary, "compared": compared}
	}
	for _, test := range []struct{ got, want string }{
		{
			ui.Report("report", facts("1204", `{"regressed":3,"fixed":1,"changed":12,"inconclusive":2,"same-pass":1000,"same-fail":186}`, "yes"), map[string]string{"cached": "1180"}, 12340*time.Millisecond),
			"report  1,204 rows: 3 regressed, 1 fixed, 12 changed, 2 inconclusive (1,180 cached) 12.3s",
		},
		{ui.Report("r", facts("1", `{"same-pass":1}`, "yes"), nil, 0), "r  1 row: 0 regressed, 0 inconclusive 0.0s"},
		{ui.Report("r", facts("3", `{"pass":2,"fail":1}`, ""), nil, 65*time.Second), "r  3 rows: 2 pass, 1 fail 1m05s"},
		{ui.Report("r", facts("0", `{}`, ""), nil, 0), "r  0 rows: nothing 0.0s"},
		{ui.Report("r", map[string]string{"count": "1", "summary": `{"pass":1}`, "incomplete": "yes"}, nil, 0), "r  1 row: 1 pass, incomplete 0.0s"},
		{
			ui.Instances(engine.Counts{Total: 7, Classes: map[engine.Class]int{"pass": 7}, Cached: map[engine.Cached]int{engine.CachedLocal: 4, engine.CachedRemote: 1, engine.NotCached: 2}}, nil, 449*time.Millisecond),
			"7 instances: 7 pass (5 cached) 0.4s",
		},
		{
			ui.Instances(engine.Counts{Total: 1234567, Classes: map[engine.Class]int{"pass": 1234560, "fail": 3, "error": 2, "skipped": 2}}, nil, 3*time.Hour+7*time.Minute),
			"1,234,567 instances: 1,234,560 pass, 3 fail, 2 error, 2 skipped 3h07m",
		},
		{ui.Instances(engine.Counts{Total: 1, Classes: map[engine.Class]int{"cancelled": 1}}, nil, 59999*time.Millisecond), "1 instance: 1 cancelled 59.9s"},
		{ui.Instances(engine.Counts{}, nil, 0), "0 instances: nothing 0.0s"},
		{
			ui.Instances(engine.Counts{Total: 2, Classes: map[engine.Class]int{"pass": 2}}, []string{"good", "bad"}, 0),
			"2 instances: 2 pass, incomplete: good, bad, 0.0s",
		},
	} {
		if test.got != test.want {
			t.Errorf("got  %s\nwant %s", test.got, test.want)
		}
	}
}
