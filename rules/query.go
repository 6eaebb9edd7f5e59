package rules

import (
	"bytes"
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

// Query are the attributes of a query: a question to a registry, whose answer is a collection of items.
type Query struct {
	Common
	Registry string       `hcl:"registry" doc:"Name of a registry."`
	Args     engine.Value `hcl:"args" doc:"What is asked of the registry."`
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

// Query implements Querier. The parts of the query are asked side by side; items come as the answers do. An answer that is pinned is
// not asked for again, one that was asked for is pinned. When a part fails, the others still yield their items, then the sequence
// yields the first error.
func (r *Query) Query(ctx context.Context, rt *Runtime, self Self) iter.Seq2[engine.Item, error] {
	return func(yield func(engine.Item, error) bool) {
		starts, err := r.starts(rt)
		if err != nil {
			yield(engine.Item{}, &engine.InvalidError{Err: err})
			return
		}
		out := emission{self: self, yield: yield, seen: map[string]firstItem{}}
		failed := r.ask(ctx, rt, self, starts, func(a answer) bool { return out.items(a) })
		if failed != nil && !out.stopped {
			yield(engine.Item{}, failed)
		}
	}
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

// An answer is what came of one start.
type answer struct {
	pages []registry.Page
	err   error
}

// ask answers the starts side by side and hands the answers to deliver in the order in which they come, until that returns false. It
// returns the first error.
func (r *Query) ask(ctx context.Context, rt *Runtime, self Self, starts []registry.Start, deliver func(answer) bool) (failed error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer)
	var group errgroup.Group
	group.Go(func() error {
		defer close(answers)
		var workers errgroup.Group
		workers.SetLimit(openQuestions)
		for _, start := range starts {
			if ctx.Err() != nil {
				break
			}
			workers.Go(func() error {
				pages, err := r.answer(ctx, rt, self, start)
				select {
				case answers <- answer{pages, err}:
				case <-ctx.Done():
				}
				return nil
			})
		}
		return workers.Wait()
	})
	for a := range answers {
		if a.err != nil {
			if failed == nil {
				failed = a.err
			}
			continue
		}
		if !deliver(a) {
			cancel()
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

// answer returns the pages of start, from the pins if they are there.
func (r *Query) answer(ctx context.Context, rt *Runtime, self Self, start registry.Start) ([]registry.Page, error) {
	label := self.Instance.Target.Label
	if text, ok := rt.Pins.Pin(label, start.Request); ok {
		pages, err := decodePages([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("the pinned answer to %q: %w", start.Request, err)
		}
		return pages, nil
	}
	o := self.View.Perform(ctx, start.Request, &engine.Plan{Action: &question{rt: rt, start: start, timeout: r.Timeout}, Pool: engine.NetPool, Retries: r.retries(netRetries)})
	if o.Err != nil {
		return nil, o.Err
	}
	out, ok := o.Result.Out(answerName)
	if !ok {
		return nil, fmt.Errorf("%s: no answer", start.Request)
	}
	text, err := cas.ReadAll(ctx, rt.Store, out.Digest, maxPages)
	if err != nil {
		return nil, fmt.Errorf("reading the answer to %q: %w", start.Request, err)
	}
	if err := rt.Pins.SetPin(label, start.Request, string(text)); err != nil {
		return nil, err
	}
	return decodePages(text)
}

const (
	answerName = "answer.json"
	maxPages   = 1 << 30
)

// A question is the action that asks one start. Its result is never stored: what lasts is the pin.
type question struct {
	rt      *Runtime
	start   registry.Start
	timeout time.Duration
}

func (q *question) Key() engine.Key  { return engine.Key{} }
func (q *question) Preimage() []byte { return nil }

func (q *question) Do(ctx context.Context, emit func(engine.Event)) (*engine.Result, error) {
	begun := time.Now()
	ctx, done := withTimeout(ctx, q.timeout)
	var pages []registry.Page
	for page, err := range q.start.Pages(ctx) {
		if err != nil {
			return nil, done(err)
		}
		emit(engine.Event{Type: engine.EventQueryPage, Text: page.Request})
		pages = append(pages, page)
	}
	if err := done(nil); err != nil {
		return nil, err
	}
	text, err := encodePages(pages)
	if err != nil {
		return nil, err
	}
	d, err := cas.PutBytes(ctx, q.rt.Store, text)
	if err != nil {
		return nil, err
	}
	out := engine.Output{Path: answerName, Artifact: engine.Artifact{Digest: d, Name: answerName}}
	return &engine.Result{Outs: []engine.Output{out}, Took: time.Since(begun)}, nil
}

// withTimeout bounds an attempt. The function it returns frees the context and turns err, if the bound is what caused it, into trouble
// that may pass.
func withTimeout(parent context.Context, limit time.Duration) (context.Context, func(error) error) {
	if limit <= 0 {
		return parent, func(err error) error { return err }
	}
	ctx, cancel := context.WithTimeout(parent, limit)
	return ctx, func(err error) error {
		expired := ctx.Err() != nil && parent.Err() == nil
		cancel()
		if err != nil && expired {
			return engine.Transient(fmt.Errorf("not done after %v: %w", limit, err))
		}
		return err
	}
}

// pageText and itemText are the canonical form of an answer: members in the order of their names, no space.
type (
	pageText struct {
		Items   []itemText `json:"items"`
		Request string     `json:"request"`
	}
	itemText struct {
		Key   string       `json:"key"`
		Value engine.Value `json:"value"`
	}
)

func encodePages(pages []registry.Page) ([]byte, error) {
	texts := make([]pageText, len(pages))
	for i, p := range pages {
		texts[i] = pageText{Request: p.Request, Items: make([]itemText, len(p.Items))}
		for j, item := range p.Items {
			texts[i].Items[j] = itemText{Key: item.Key, Value: item.Value}
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(texts); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func decodePages(text []byte) ([]registry.Page, error) {
	var texts []pageText
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&texts); err != nil {
		return nil, err
	}
	pages := make([]registry.Page, len(texts))
	for i, t := range texts {
		pages[i] = registry.Page{Request: t.Request, Items: make([]engine.Item, len(t.Items))}
		for j, item := range t.Items {
			value, err := plain(item.Value)
			if err != nil {
				return nil, err
			}
			pages[i].Items[j] = engine.Item{Key: item.Key, Value: value}
		}
	}
	return pages, nil
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

// items yields what a brings and reports whether more is wanted.
func (e *emission) items(a answer) bool {
	for _, p := range a.pages {
		for _, item := range p.Items {
			if e.stopped {
				return false
			}
			if e.first(p.Request, item) {
				e.stopped = !e.yield(item, nil)
			}
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
