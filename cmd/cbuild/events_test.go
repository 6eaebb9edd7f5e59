package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// event is what the tests read of a line of --events.
type event struct {
	V        int
	T        time.Time
	Type     string
	Target   string
	Rule     string
	Instance *[]string
	Outcome  string
	ExitCode *int `json:"exit_code"`
	Cached   string
	Key      string
	Log      string
	Ms       *int64
	Why      string
	Rows     string
	Count    *int
	Counts   map[string]int
	Text     string
}

// id names the instance of a finished event.
func (e *event) id() string { return e.Target + "[" + strings.Join(*e.Instance, "][") + "]" }

// readEvents returns the events in a file. With torn set, it may be as a kill leaves it: cut off in the last line, or not there yet.
func readEvents(name string, torn bool) ([]event, error) {
	f, err := os.Open(name)
	if torn && os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []event
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			if torn && !lines.Scan() {
				return all, nil
			}
			return all, fmt.Errorf("%s: line %d: %w: %s", name, len(all)+1, err, lines.Bytes())
		}
		if e.Type == "finished" && e.Instance == nil {
			return all, fmt.Errorf("%s: a finished without instance: %s", name, lines.Bytes())
		}
		all = append(all, e)
	}
	return all, lines.Err()
}

// finished counts the finished events of a target, "*" for all: finished FILE TARGET N [FIELD=VALUE…], where FIELD is outcome, cached,
// exit_code, instance or why. An instance is written as in a label: KEY][AXIS.
func finished(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: finished FILE TARGET N [FIELD=VALUE…]")
	}
	all, err := readEvents(ts.MkAbs(args[0]), false)
	ts.Check(err)
	n, seen := 0, []string{}
	for _, e := range all {
		if e.Type != "finished" || args[1] != "*" && e.Target != "//:"+args[1] && e.Target != args[1] {
			continue
		}
		seen = append(seen, fmt.Sprintf("%s %s cached=%s why=%q", e.id(), e.Outcome, e.Cached, e.Why))
		if e.matches(ts, args[3:]) {
			n++
		}
	}
	if fmt.Sprint(n) != args[2] {
		ts.Fatalf("%d finished events of %s with %v, want %s; there are\n%s", n, args[1], args[3:], args[2], strings.Join(seen, "\n"))
	}
}

// matches reports whether e has all the fields, written FIELD=VALUE.
func (e *event) matches(ts *testscript.TestScript, fields []string) bool {
	for _, f := range fields {
		name, want, _ := strings.Cut(f, "=")
		got := ""
		switch name {
		case "outcome":
			got = e.Outcome
		case "cached":
			got = e.Cached
		case "why":
			got = e.Why
		case "instance":
			got = strings.Join(*e.Instance, "][")
		case "exit_code":
			if e.ExitCode != nil {
				got = fmt.Sprint(*e.ExitCode)
			}
		default:
			ts.Fatalf("unknown field %s", name)
		}
		if got != want {
			return false
		}
	}
	return true
}

// checkEvents checks the form of a whole file of events: events FILE.
func checkEvents(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: events FILE")
	}
	all, err := readEvents(ts.MkAbs(args[0]), false)
	ts.Check(err)
	for _, problem := range wrongWith(all) {
		ts.Logf("%s: %s", args[0], problem)
		defer ts.Fatalf("%s is not as specified", args[0])
	}
}

// wrongWith returns what in the events of a whole build is not as LANGUAGE says.
func wrongWith(all []event) (problems []string) {
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if len(all) < 2 || all[0].Type != "build_started" || all[len(all)-1].Type != "build_finished" {
		wrong("want build_started first and build_finished last")
		return problems
	}
	seen := map[string]bool{}
	counts := map[string]int{}
	for i, e := range all {
		if e.V != 1 || e.T.IsZero() {
			wrong("event %d: v %d, t %v", i, e.V, e.T)
		}
		if e.Type != "finished" {
			continue
		}
		if seen[e.id()] {
			wrong("%s finished twice", e.id())
		}
		seen[e.id()] = true
		counts[e.Outcome]++
		counts["cached_"+e.Cached]++
		if e.Target == "" || e.Rule == "" || e.Outcome == "" || e.Ms == nil || *e.Ms < 0 {
			wrong("%s: a field is missing: %+v", e.id(), e)
		}
		if ran := e.Rule == "run" && (e.Outcome == "pass" || e.Outcome == "fail"); ran && (!strings.HasPrefix(e.Key, "b3:") || e.ExitCode == nil) {
			wrong("%s: key %q, exit code %v", e.id(), e.Key, e.ExitCode)
		}
		if e.Cached == "no" && e.Rule == "run" && e.Outcome == "pass" && e.Why == "" {
			wrong("%s: ran without a reason", e.id())
		}
	}
	last := all[len(all)-1]
	if last.ExitCode == nil || last.Outcome == "" {
		wrong("build_finished without outcome or exit code")
	}
	for name, n := range counts {
		if last.Counts[name] != n && name != "cached_" {
			wrong("build_finished counts %d %s, there are %d", last.Counts[name], name, n)
		}
	}
	return problems
}

// rows checks how many rows the one report of a build has, and whether they are those of another build: [!] rows FILE N [FILE2].
func rows(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args) > 3 || neg && len(args) != 3 {
		ts.Fatalf("usage: [!] rows FILE N [FILE2]")
	}
	r := reportIn(ts, args[0])
	if r.Count == nil || fmt.Sprint(*r.Count) != args[1] || !strings.HasPrefix(r.Rows, "b3:") {
		ts.Fatalf("%s: the report has the rows %q and %v of them, want %s", args[0], r.Rows, r.Count, args[1])
	}
	if len(args) == 3 {
		if other := reportIn(ts, args[2]); (other.Rows == r.Rows) == neg {
			ts.Fatalf("rows %s in %s and %s in %s", r.Rows, args[0], other.Rows, args[2])
		}
	}
}

// reportIn returns the finished event of the only report in a file.
func reportIn(ts *testscript.TestScript, file string) (found event) {
	all, err := readEvents(ts.MkAbs(file), false)
	ts.Check(err)
	n := 0
	for _, e := range all {
		if e.Type == "finished" && e.Rule == "collate" {
			found = e
			n++
		}
	}
	if n != 1 {
		ts.Fatalf("%s has %d reports, want one", file, n)
	}
	return found
}
