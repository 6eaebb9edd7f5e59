package main_test

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// graphs is how many random pipelines are tried, edits how often each is edited.
const (
	graphs = 8
	edits  = 6
)

// Whatever a pipeline is and however it is edited: building what changed ends in the same outcomes, keys and outputs as building
// everything from nothing, one action at a time; an edit that means nothing runs nothing; and the same again runs nothing.
func TestIncrementalEqualsClean(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: random pipelines take a while, and the binary that builds them is not under the race detector")
	}
	seed, n := uint64(time.Now().UnixNano()), graphs
	if v := os.Getenv("CBUILD_GRAPHS"); v != "" { // SEED or SEED,COUNT
		if _, err := fmt.Sscanf(v+","+fmt.Sprint(n), "%d,%d", &seed, &n); err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint64(n) {
		t.Run(fmt.Sprintf("CBUILD_GRAPHS=%d,1", seed+i), func(t *testing.T) { editAtRandom(t, seed+i) })
	}
}

func editAtRandom(t *testing.T, seed uint64) {
	p := newPipeline(rand.New(rand.NewPCG(seed, 1)))
	p.server = newItemServer(t, seed)
	live := newWorld(t, nil, nil)
	p.write(live)
	live.buildAll("-j8")
	for i := range edits {
		edit := p.edit()
		p.write(live)
		if edit.asks {
			if u := live.start("update.json", "update"); u.wait() != 0 {
				t.Fatalf("update: %s", u.said())
			}
		}
		status, all := live.buildAll("-j16")
		if edit.cosmetic {
			p.checkNothingRan(t, edit.what, all)
		}
		clean := newWorld(t, nil, nil)
		p.write(clean)
		cleanStatus, cleanAll := clean.buildAll("-j1", "--window=1", "--disk-ahead=1")
		what := fmt.Sprintf("edit %d, %s", i+1, edit.what)
		if status != cleanStatus {
			t.Errorf("%s: status %d, from nothing %d", what, status, cleanStatus)
		}
		sameLines(t, what+": outcomes", outcomesOf(all), outcomesOf(cleanAll))
		sameLines(t, what+": outputs", live.outputs(p), clean.outputs(p))
		if t.Failed() {
			t.Fatalf("BUILD.hcl:\n%s", p.text())
		}
	}
	_, all := live.buildAll()
	p.checkNothingRan(t, "the same again", all)
}

// buildAll builds every target and returns how it ended.
func (w *world) buildAll(flags ...string) (status int, all []event) {
	w.t.Helper()
	p := w.start("events.json", append(flags, "//...")...)
	if status = p.wait(); status != 0 && status != 1 {
		w.t.Fatalf("status %d\n%s\n%s", status, p.said(), w.read("BUILD.hcl"))
	}
	all, err := readEvents(p.events, false)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, problem := range wrongWith(all) {
		w.t.Errorf("events: %s", problem)
	}
	return status, all
}

// checkNothingRan fails the test if a command ran whose result could have been used again.
func (p *pipeline) checkNothingRan(t *testing.T, what string, all []event) {
	t.Helper()
	for _, e := range all {
		if e.Type == "finished" && e.Rule == "run" && e.Cached == "no" && (e.Outcome == "pass" || p.allows(e.Target)) {
			t.Errorf("%s: %s ran: %s\n%s", what, e.id(), e.Why, p.text())
		}
	}
}

// outcomesOf lists what became of every instance.
func outcomesOf(all []event) (lines []string) {
	for _, e := range all {
		if e.Type == "finished" {
			lines = append(lines, fmt.Sprintf("%s %s %s rows %s", e.id(), e.Outcome, e.Key, e.Rows))
		}
	}
	slices.Sort(lines)
	return lines
}

// outputs lists every published file of the targets of p with its content, but for pages, which show times.
func (w *world) outputs(p *pipeline) (lines []string) {
	root := filepath.Join(w.dir, "cbuild-out")
	for _, t := range p.parts {
		_ = filepath.WalkDir(filepath.Join(root, t.name), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, ".html") {
				return nil
			}
			data, err := os.ReadFile(path)
			if err != nil {
				w.t.Error(err)
			}
			lines = append(lines, fmt.Sprintf("%s: %q", strings.TrimPrefix(path, root), data))
			return nil
		})
	}
	return lines
}

// sameLines fails the test if two sorted lists differ.
func sameLines(t *testing.T, what string, got, want []string) {
	t.Helper()
	for _, l := range got {
		if !slices.Contains(want, l) {
			t.Errorf("%s: only incrementally: %s", what, l)
		}
	}
	for _, l := range want {
		if !slices.Contains(got, l) {
			t.Errorf("%s: only from nothing: %s", what, l)
		}
	}
}

// An edit is what was done to a pipeline.
type edit struct {
	what string
	// cosmetic is set if no command may run because of it, asks if the outside world has to be asked again.
	cosmetic, asks bool
}

// edit changes p at random.
func (p *pipeline) edit() edit {
	t := p.parts[p.rng.IntN(len(p.parts))]
	switch p.rng.IntN(11) {
	case 0:
		name := p.pick(slices.Sorted(maps.Keys(p.files)))
		p.files[name] = p.word() + "\n"
		return edit{what: "content of " + name}
	case 1:
		t.salt = p.word()
		return edit{what: "script of " + t.name}
	case 2:
		p.otherKeys(t)
		return edit{what: "keys of " + t.name}
	case 3:
		p.addWhere(t)
		return edit{what: "where of " + t.name}
	case 4:
		old := t.name
		t.name = p.newName()
		return edit{what: old + " renamed to " + t.name, cosmetic: true}
	case 5:
		p.comment = p.word()
		return edit{what: "a comment", cosmetic: true}
	case 6:
		p.add()
		return edit{what: "one more target"}
	case 7:
		slices.Reverse(t.keys)
		return edit{what: "order of keys of " + t.name, cosmetic: true}
	case 8:
		for k := range p.server.items {
			p.server.set(k, p.server.items[k][0], p.word())
		}
		return edit{what: "fields of items that nobody reads", cosmetic: true, asks: true}
	case 9:
		p.server.set(p.pick(allKeys), p.word(), p.word())
		return edit{what: "an item", asks: true}
	default:
		if t.axis != nil {
			t.axis = p.someAxis()
		}
		return edit{what: "axis of " + t.name}
	}
}
