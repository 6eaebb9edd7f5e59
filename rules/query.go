package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/rules/registry"

	"golang.org/x/sync/errgroup"
)

// Query are the attributes of a query: a question to a registry or to any server, whose answer is a collection of items.
type Query struct {
	Common
	Registry string                         `hcl:"registry" one:"go npm crates.io pypi debian github-releases" doc:"Name of a registry; else write url and items."`
	Args     engine.Value                   `hcl:"args" type:"object" doc:"What is asked of the registry."`
	URL      engine.Value                   `hcl:"url" type:"string or object" doc:"Address of the first page, or an object of several starts, each followed on its own."`
	Items    PageExpr                       `hcl:"items" key:"no" doc:"The items of a page: an object, or a for expression, over page."`
	Next     PageExpr                       `hcl:"next" key:"no" default:"the Link header with rel=next" doc:"Address of the next page, relative or not, or null."`
	Headers  map[string]engine.Confidential `hcl:"headers" doc:"Headers of the requests to the first host; they may hold secrets."`
	MaxAge   time.Duration                  `hcl:"max_age" key:"no" doc:"Pinned answers that are older are asked for again."`
	Pin      string                         `hcl:"pin" key:"no" one:"full digest" default:"\"full\" up to 1 MiB" doc:"\"full\": the answers themselves lie beside the lock file; \"digest\": only their digests."`
}

// Plan implements Spec. A query has no action of its own.
func (r *Query) Plan(context.Context, *Runtime, Self) (*engine.Plan, error) {
	return nil, errors.New("a query is asked, not planned")
}

const (
	// netRetries is how often trouble with a download or a request is retried, unless `retries` says otherwise.
	netRetries = 5
	// openQuestions is how many starts of a query wait for a connection, an answer or a reader at a time.
	openQuestions = 32
)

// A part of a query is asked on its own: it hands its pages to deliver, in their order, until that returns false.
type part func(ctx context.Context, deliver func(registry.Page) bool) error

// Query implements Querier. The parts of the query are asked side by side; items come as the answers do. An answer that is pinned is
// not asked for again, one that was asked for is pinned. When a part fails, the others still yield their items, then the sequence
// yields the first error.
func (r *Query) Query(ctx context.Context, rt *Runtime, self Self) iter.Seq2[engine.Item, error] {
	return func(yield func(engine.Item, error) bool) {
		parts, err := r.parts(rt, self)
		if err != nil {
			yield(engine.Item{}, &engine.InvalidError{Err: err})
			return
		}
		out := emission{self: self, yield: yield, seen: map[string]firstItem{}}
		if failed := ask(ctx, parts, rt.InOrder, out.items); failed != nil && !out.stopped {
			yield(engine.Item{}, failed)
		}
	}
}

func (r *Query) parts(rt *Runtime, self Self) ([]part, error) {
	a := asker{Query: r, rt: rt, self: self}
	switch generic := r.URL != nil || r.Items.Value != nil; {
	case generic && r.Registry != "":
		return nil, errors.New("a query has either registry or url and items")
	case generic:
		return a.addresses()
	case r.Registry == "":
		return nil, errors.New("a query has either registry or url and items")
	}
	starts, err := r.starts(rt)
	if err != nil {
		return nil, err
	}
	parts := make([]part, len(starts))
	for i, start := range starts {
		parts[i] = func(ctx context.Context, deliver func(registry.Page) bool) error {
			return a.start(ctx, start, deliver)
		}
	}
	return parts, nil
}

func (r *Query) starts(rt *Runtime) ([]registry.Start, error) {
	reg, ok := rt.Registries[r.Registry]
	if !ok {
		return nil, fmt.Errorf("registry: unknown registry %q", r.Registry)
	}
	args, ok := r.Args.(engine.Object)
	if !ok && r.Args != nil {
		return nil, errors.New("args: want an object")
	}
	starts, err := reg.Starts(args)
	if err != nil {
		return nil, fmt.Errorf("args: %w", err)
	}
	return starts, nil
}

// An answer is a page of a part, or why it has no more.
type answer struct {
	page registry.Page
	err  error
}

// ask follows the parts side by side and hands their pages to deliver, as they come or in the order of the parts, until that returns false.
// It returns the first error.
func ask(ctx context.Context, parts []part, inOrder bool, deliver func(registry.Page) bool) (failed error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	shared := make(chan answer)
	streams := []chan answer{shared}
	if inOrder {
		streams = make([]chan answer, len(parts))
		for i := range streams {
			streams[i] = make(chan answer)
		}
	}
	var group errgroup.Group
	group.Go(func() error {
		defer close(shared)
		var workers errgroup.Group
		workers.SetLimit(openQuestions)
		for i, p := range parts {
			if ctx.Err() != nil {
				break
			}
			workers.Go(func() error {
				if inOrder {
					defer close(streams[i])
				}
				p.follow(ctx, streams[min(i, len(streams)-1)])
				return nil
			})
		}
		return workers.Wait()
	})
	for _, stream := range streams {
		for a := range answersFrom(ctx, stream) {
			switch {
			case a.err != nil && failed == nil:
				failed = a.err
			case a.err == nil && !deliver(a.page):
				cancel()
			}
		}
	}
	if err := group.Wait(); failed == nil {
		failed = err
	}
	if failed == nil {
		failed = ctx.Err()
	}
	return failed
}

// follow sends the pages of p, and why it has no more if that is an error, until ctx ends.
func (p part) follow(ctx context.Context, to chan<- answer) {
	send := func(a answer) bool {
		select {
		case to <- a:
			return true
		case <-ctx.Done():
			return false
		}
	}
	if err := p(ctx, func(page registry.Page) bool { return send(answer{page: page}) }); err != nil {
		send(answer{err: err})
	}
}

// answersFrom yields what comes from c until that is closed or ctx ends.
func answersFrom(ctx context.Context, c <-chan answer) iter.Seq[answer] {
	return func(yield func(answer) bool) {
		for {
			select {
			case a, ok := <-c:
				if !ok || !yield(a) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// A firstItem is where a key was first seen, and with which value.
type firstItem struct {
	page string
	hash [32]byte
}

// An emission yields items, each key once.
type emission struct {
	self    Self
	yield   func(engine.Item, error) bool
	seen    map[string]firstItem
	stopped bool
}

// items yields what p brings and reports whether more is wanted.
func (e *emission) items(p registry.Page) bool {
	for _, item := range p.Items {
		if e.stopped {
			return false
		}
		if e.first(p.Request, item) {
			e.stopped = !e.yield(item, nil)
		}
	}
	return !e.stopped
}

// first reports whether the item's key is new. A key that comes again with another value is told, and the first stays.
func (e *emission) first(page string, item engine.Item) bool {
	text, err := json.Marshal(item.Value)
	if err != nil {
		text = fmt.Append(nil, item.Value)
	}
	this := firstItem{page, cas.Derive("cbuild query item v1", text)}
	old, ok := e.seen[item.Key]
	if !ok {
		e.seen[item.Key] = this
		return true
	}
	if old.hash != this.hash {
		e.self.View.Emit(engine.Event{
			Type: engine.EventDiagnostic, Target: e.self.Instance.Target, Severity: "warning",
			Text: fmt.Sprintf("%s: item %q of %q differs from the one of %q, which is kept", e.self.Instance.Name(), item.Key, page, old.page),
		})
	}
	return false
}
