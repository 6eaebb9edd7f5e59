package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/internal/ui"
)

// A checker compares what is stored with what comes out when it is made again, for --check.
type checker struct {
	store   cas.Store
	console *ui.Console
	percent float64
	seed    uint64 // another sample in each build

	mu      sync.Mutex
	checked int // guarded by mu
	differ  int // guarded by mu
}

var _ engine.Checker = (*checker)(nil)

// newChecker returns one that checks percent of what it is asked about, chosen at random.
func newChecker(s cas.Store, c *ui.Console, percent float64) *checker {
	return &checker{store: s, console: c, percent: percent, seed: rand.Uint64()}
}

// Wants implements engine.Checker.
func (c *checker) Wants(k engine.Key) bool {
	draw := rand.New(rand.NewPCG(c.seed, binary.LittleEndian.Uint64(k[:])))
	return draw.Float64()*100 < c.percent
}

// Checked implements engine.Checker.
func (c *checker) Checked(ctx context.Context, _ *engine.Target, name string, stored, now *engine.Result) error {
	lines, err := c.compare(ctx, stored, now)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checked++
	if len(lines) > 0 {
		c.differ++
		c.console.Note("warning", name+" came out otherwise than what is stored:\n  "+strings.Join(lines, "\n  "))
	}
	return nil
}

// summary says what came of it.
func (c *checker) summary() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	differ := "all came out the same"
	if c.differ > 0 {
		differ = fmt.Sprintf("%s came out otherwise", ui.Thousands(c.differ))
	}
	return fmt.Sprintf("checked %s: %s", counted(c.checked, "stored result"), differ)
}

// err is set if something came out otherwise.
func (c *checker) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.differ == 0 {
		return nil
	}
	return fmt.Errorf("%s can't be made again", counted(c.differ, "stored result"))
}

// maxDifferences is how many differences of one result are listed.
const maxDifferences = 20

// compare lists the differences of two results: how they ended, and which files.
func (c *checker) compare(ctx context.Context, stored, now *engine.Result) (lines []string, err error) {
	if stored.Status != now.Status || stored.ExitCode != now.ExitCode {
		lines = append(lines, fmt.Sprintf("it was %s (exit %d), now %s (exit %d)", stored.Status, stored.ExitCode, now.Status, now.ExitCode))
	}
	had, has := make(map[string]engine.Artifact), make(map[string]engine.Artifact)
	for _, o := range stored.Outs {
		had[o.Path] = o.Artifact
	}
	for _, o := range now.Outs {
		has[o.Path] = o.Artifact
	}
	if stored.Stdout != now.Stdout {
		had["standard output"], has["standard output"] = engine.Artifact{Digest: stored.Stdout}, engine.Artifact{Digest: now.Stdout}
	}
	err = c.files(ctx, had, has, func(line string) { lines = append(lines, line) })
	if n := len(lines); n > maxDifferences {
		lines = append(lines[:maxDifferences], fmt.Sprintf("… and %d more", n-maxDifferences))
	}
	return lines, err
}

// files tells the differences of two sets of files and trees by name.
func (c *checker) files(ctx context.Context, had, has map[string]engine.Artifact, tell func(string)) error {
	all := maps.Clone(had)
	maps.Copy(all, has)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		a, was := had[name]
		b, is := has[name]
		switch {
		case !is:
			tell(name + ": is not there any more")
		case !was:
			tell(name + ": was not there")
		case a.Digest == b.Digest && a.Kind == b.Kind && a.Executable == b.Executable:
		case a.Kind == engine.TreeKind && b.Kind == engine.TreeKind:
			if err := c.trees(ctx, name, a.Digest, b.Digest, tell); err != nil {
				return err
			}
		case a.Digest == b.Digest:
			tell(name + ": is executable in one of them only")
		default:
			tell(fmt.Sprintf("%s: %s → %s", name, digestText(a.Digest), digestText(b.Digest)))
		}
	}
	return nil
}

// digestText writes the digest of what may be empty.
func digestText(d cas.Digest) string {
	if d.IsZero() {
		return "nothing"
	}
	return d.String()
}

// trees tells the differences of two trees by path.
func (c *checker) trees(ctx context.Context, name string, had, has cas.Digest, tell func(string)) error {
	a, err := c.entries(ctx, name, had)
	if err != nil {
		if errors.Is(err, cas.ErrNotFound) { // what is stored may have lost its content
			tell(fmt.Sprintf("%s: %v → %v (what was stored is lost)", name, had, has))
			return nil
		}
		return err
	}
	b, err := c.entries(ctx, name, has)
	if err != nil {
		return err
	}
	return c.files(ctx, a, b, tell)
}

// entries returns what is in a tree but its directories, under the paths that it has below name. Links are told by where they lead.
func (c *checker) entries(ctx context.Context, name string, tree cas.Digest) (map[string]engine.Artifact, error) {
	all := make(map[string]engine.Artifact)
	for e, err := range cas.Walk(ctx, c.store, tree) {
		if err != nil {
			return nil, err
		}
		switch path := name + "/" + e.Path; e.Kind {
		case cas.FileEntry:
			all[path] = engine.Artifact{Digest: e.Digest, Executable: e.Executable}
		case cas.SymlinkEntry:
			all[path] = engine.Artifact{Digest: cas.Of([]byte(e.Target)), Executable: true}
		case cas.DirEntry:
			all[path+"/"] = engine.Artifact{}
		}
	}
	return all, nil
}
