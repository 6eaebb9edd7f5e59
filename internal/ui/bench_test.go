package ui

import (
	"io"
	"testing"
	"time"

	"cbuild/engine"
	"cbuild/internal/clock"
)

// A painting of a busy build on a terminal of 120 columns: there are ten in a second.
func BenchmarkPaint(b *testing.B) {
	c := NewConsole(ConsoleOptions{Out: io.Discard, Clock: clock.System, Live: true, Color: true, Size: func() (int, int) { return 120, 50 }})
	p := busy()
	p.columns, p.rows = 120, 50
	b.ReportAllocs()
	for b.Loop() {
		c.place(c.layout.lines(p), p.columns)
	}
}

// What an instance that was cached costs the console and the timeline, while nothing runs and while something does.
func BenchmarkCachedInstance(b *testing.B) {
	for name, running := range map[string]bool{"idle": false, "busy": true} {
		b.Run(name, func(b *testing.B) {
			all := Observers{
				NewConsole(ConsoleOptions{Out: io.Discard, Clock: clock.System, Live: true, Size: func() (int, int) { return 120, 50 }}),
				NewTimeline(clock.System, false),
			}
			t := &engine.Target{Label: engine.Label{Name: "gofmt"}, Rule: "run", Repeated: true}
			for i := range 16 {
				if running {
					all.Observe(engine.Event{Type: engine.EventStarted, Target: t, Text: t.InstanceName(string(rune('a'+i)), nil)})
				}
			}
			e := engine.Event{
				Type: engine.EventFinished, Target: t, Instance: []string{"github.com/google/uuid@v1.6.0", "after"}, Time: time.Now(),
				Outcome: &engine.Outcome{Result: &engine.Result{}, Cached: engine.CachedLocal},
			}
			b.ReportAllocs()
			for b.Loop() {
				all.Observe(e)
			}
		})
	}
}

// A painting of a build of a thousand targets.
func BenchmarkPaintThousandTargets(b *testing.B) {
	c := NewConsole(ConsoleOptions{Out: io.Discard, Clock: clock.System, Live: true, Color: true, Size: func() (int, int) { return 120, 50 }})
	p := busy()
	p.columns, p.rows = 120, 50
	for len(p.targets) < 1000 {
		p.targets = append(p.targets, busy().targets...)
	}
	for b.Loop() {
		c.place(c.layout.lines(p), p.columns)
	}
}
