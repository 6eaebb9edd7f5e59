package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"cbuild/engine"
	"cbuild/internal/buildfile"
	"cbuild/internal/history"
)

// The sets of instances that patterns name.
const (
	setFailed  = "@failed"
	setChanged = "@changed"
)

// lastFailed calls use for each instance that was no pass in the last build of a workspace that had any instances.
func (c *cli) lastFailed(root string, use func(target string, instance []string)) error {
	dir, err := c.historyDir(root)
	if err != nil {
		return err
	}
	const builds = 100 // that came to nothing, one after the other
	for _, b := range history.Recent(dir, builds) {
		results := 0
		err := history.Read(dir, b.ID, func(r history.Result) bool {
			results++
			if r.Outcome != string(engine.ClassPass) {
				use(r.Target, r.Instance)
			}
			return true
		})
		if results > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// changed returns a set of what is out of date: all that a build of the whole workspace would not find stored, with these variables. Nothing is run, and
// nobody is asked.
func (c *cli) changed(vars []buildfile.VarAssignment) buildfile.Set {
	return func(_ string, use func(target string, instance []string)) error {
		offline := c.flags.offline
		c.flags.offline = true
		defer func() { c.flags.offline = offline }()
		w, _, err := c.read(vars) // a session of its own: the one of the build begins when it is known what is built
		if err != nil {
			return err
		}
		s, err := c.open(w)
		if err != nil {
			return err
		}
		defer s.close()
		s.limitQueries()
		stale := &staleInstances{targets: make(map[*engine.Target]*staleTarget)}
		b := engine.New(engine.Options{
			Targets: w.Targets, Cache: s.store, Observer: stale, Jobs: c.flags.jobs, Connections: 1, Window: 64, Spool: s.spool, Dry: true, Again: c.flags.again,
		})
		var wants []engine.Want
		for _, t := range w.Targets {
			wants = append(wants, engine.Want{Label: t.Label})
		}
		if err := b.Run(context.Background(), wants); err != nil {
			return err
		}
		for _, t := range w.Targets {
			if st := stale.targets[t]; st != nil {
				st.use(t.Label.String(), use)
			}
		}
		return nil
	}
}

// staleInstances notes of each target which instances are not stored.
type staleInstances struct {
	mu      sync.Mutex
	targets map[*engine.Target]*staleTarget // guarded by mu
}

type staleTarget struct {
	stored    bool       // some instance is
	whole     bool       // not all instances are known
	instances [][]string // that are not stored
}

// Observe is engine.Observer's.
func (s *staleInstances) Observe(e engine.Event) {
	if e.Type != engine.EventFinished {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.targets[e.Target]
	if t == nil {
		t = &staleTarget{}
		s.targets[e.Target] = t
	}
	switch {
	case e.Outcome.Result != nil:
		t.stored = true
	case len(e.Instance) == 0:
		t.whole = true
	default:
		t.instances = append(t.instances, e.Instance)
	}
}

func (t *staleTarget) use(label string, use func(target string, instance []string)) {
	if t.whole || !t.stored && len(t.instances) > 0 {
		use(label, nil)
		return
	}
	slices.SortFunc(t.instances, slices.Compare)
	for _, i := range t.instances {
		use(label, i)
	}
}

// nothingLeft says why nothing is built of what args name.
func (c *cli) nothingLeft(args []string) {
	if c.quiet() || c.flags.question {
		return
	}
	text := ""
	if slices.Contains(args, setFailed) {
		text = "Nothing that failed in the last build is left."
	}
	if slices.Contains(args, setChanged) {
		text = cmp.Or(text, "Nothing is out of date.")
	}
	fmt.Fprintln(c.stderr, cmp.Or(text, "Nothing is left of what was asked for."))
}
