package rules

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/internal/clock"
	"cbuild/rules/registry"
)

// An asker asks what a query is made of, each question once: its answer is pinned.
type asker struct {
	*Query
	rt   *Runtime
	self Self
}

const (
	answerName = "answer.json"
	// maxAnswer is the longest answer in bytes, and maxFullPin the longest that is pinned as it is, unless `pin` says otherwise.
	maxAnswer  = 1 << 30
	maxFullPin = 1 << 20
)

// start hands the pages of a start of a registry to deliver, until that returns false.
func (a *asker) start(ctx context.Context, s registry.Start, deliver func(registry.Page) bool) error {
	text, settle, err := a.answer(ctx, s.Request, func(ctx context.Context, emit func(engine.Event), _ []byte) ([]byte, error) {
		var pages pagesText
		for page, err := range s.Pages(ctx) {
			if err != nil {
				return nil, err
			}
			emit(engine.Event{Type: engine.EventQueryPage, Text: page.Request})
			if page.Note != "" {
				emit(engine.Event{Type: engine.EventDiagnostic, Target: a.self.Instance.Target, Severity: "warning", Text: a.self.Instance.Name() + ": " + page.Note})
			}
			if err := pages.add(page); err != nil {
				return nil, err
			}
		}
		return pages.text(), nil
	})
	if err != nil {
		return err
	}
	if err := settle(); err != nil {
		return err
	}
	for page, err := range decodePages(text) {
		if err != nil {
			return fmt.Errorf("the pinned answer to %q: %w", s.Request, err)
		}
		if !deliver(page) {
			return nil
		}
	}
	return nil
}

// asking brings an answer. Old is the one that was pinned and is to be asked for again; nil if there is none.
type asking func(ctx context.Context, emit func(engine.Event), old []byte) ([]byte, error)

// answer returns the text that is pinned for request, or what do brings. Settle pins that, once it turned out to be an answer that can be
// used: what a network has instead that wants a click first must not be remembered.
func (a *asker) answer(ctx context.Context, request string, do asking) (text []byte, settle func() error, err error) {
	label := a.self.Instance.Target.Label
	pinned, ok := a.rt.Pins.Pin(label, request)
	asked, body := SplitAsked(pinned)
	if ok {
		if text, err = a.stored(ctx, body); err != nil {
			return nil, nil, err
		}
		if text != nil && !a.expired(asked) {
			return text, func() error { return nil }, nil
		}
	}
	old := text
	q := &question{rt: a.rt, timeout: a.Timeout, do: func(ctx context.Context, emit func(engine.Event)) ([]byte, error) { return do(ctx, emit, old) }}
	o := a.self.View.Perform(ctx, request, &engine.Plan{Action: q, Pool: engine.NetPool, Pools: a.Pool, Retries: a.retries(netRetries)})
	if o.Err != nil {
		return nil, nil, o.Err
	}
	out, found := o.Result.Out(answerName)
	if !found {
		return nil, nil, fmt.Errorf("%s: no answer", request)
	}
	if text, err = cas.ReadAll(ctx, a.rt.Store, out.Digest, maxAnswer); err != nil {
		return nil, nil, fmt.Errorf("reading the answer to %q: %w", request, err)
	}
	return text, func() error { return a.pin(request, body, out.Digest, text) }, nil
}

// pin pins text, whose digest is d, as the answer to request in place of old, which is empty if there was none.
func (a *asker) pin(request, old string, d cas.Digest, text []byte) error {
	now := string(text)
	if a.Pin == "digest" || a.Pin != "full" && len(text) > maxFullPin {
		now = d.String()
	}
	if a.MaxAge > 0 {
		now = JoinAsked(clock.System.Now(), now)
	}
	if err := a.rt.Pins.SetPin(a.self.Instance.Target.Label, request, now); err != nil {
		return err
	}
	if isDigest(old) && old != d.String() {
		a.self.View.Emit(engine.Event{
			Type: engine.EventDiagnostic, Target: a.self.Instance.Target, Severity: "note",
			Text: fmt.Sprintf("%s: the answer to %q is not the pinned one any more; the lock follows it", a.self.Instance.Name(), firstLine(request)),
		})
	}
	return nil
}

// expired reports whether an answer that was asked for at the given time, zero if that is not known, is to be asked for again. What
// must not be asked does not expire.
func (a *asker) expired(asked time.Time) bool {
	if locked, ok := a.rt.Pins.(interface{ Locked() bool }); ok && locked.Locked() {
		return false
	}
	return a.MaxAge > 0 && !a.rt.Offline && clock.System.Now().Sub(asked) > a.MaxAge
}

// stored returns the answer that body pins, or nil if only its digest is known and nobody has it.
func (a *asker) stored(ctx context.Context, body string) ([]byte, error) {
	if !isDigest(body) {
		return []byte(body), nil
	}
	d, err := cas.ParseDigest(body)
	if err != nil {
		return nil, fmt.Errorf("the lock pins %q: %w", body, err)
	}
	text, err := cas.ReadAll(ctx, a.rt.Store, d, maxAnswer)
	if errors.Is(err, cas.ErrNotFound) {
		return nil, nil
	}
	return text, err
}

func isDigest(body string) bool { return strings.HasPrefix(body, "b3:") }

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// askedPrefix begins a pin that says when it was asked for: the time in RFC 3339, and after a line break the answer.
const askedPrefix = "asked "

// JoinAsked returns the text of a pin that says when it was asked for.
func JoinAsked(t time.Time, answer string) string {
	return askedPrefix + t.UTC().Format(time.RFC3339) + "\n" + answer
}

// SplitAsked splits the text of a pin into the time at which it was asked for, zero if that was not noted, and the answer.
func SplitAsked(pin string) (asked time.Time, answer string) {
	if rest, ok := strings.CutPrefix(pin, askedPrefix); ok {
		when, body, found := strings.Cut(rest, "\n")
		if t, err := time.Parse(time.RFC3339, when); found && err == nil {
			return t, body
		}
	}
	return time.Time{}, pin
}

// A question is the action that asks for one answer. Its result is never stored: what lasts is the pin.
type question struct {
	rt      *Runtime
	do      func(ctx context.Context, emit func(engine.Event)) ([]byte, error)
	timeout time.Duration
}

func (q *question) Key() engine.Key  { return engine.Key{} }
func (q *question) Preimage() []byte { return nil }

func (q *question) Do(ctx context.Context, emit func(engine.Event)) (*engine.Result, error) {
	begun := time.Now()
	ctx, done := withTimeout(ctx, q.timeout)
	text, err := q.do(ctx, emit)
	if err = done(err); err != nil {
		return nil, err
	}
	d, err := cas.PutBytes(ctx, q.rt.Store, text)
	if err != nil {
		return nil, err
	}
	out := engine.Output{Path: answerName, Artifact: engine.Artifact{Digest: d, Name: answerName}}
	return &engine.Result{Outs: []engine.Output{out}, Took: time.Since(begun)}, nil
}

// withTimeout bounds an attempt. The function it returns ends the bound and turns err, if the bound is what caused it, into trouble
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

func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
