package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"cbuild/engine"
	"cbuild/internal/buildfile"
)

func (c *cli) showCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show TARGET[INSTANCE]… [NAME=VALUE…]", Short: "Show evaluated attributes, keys, outcomes and outputs",
		Long: `show evaluates targets without building: what it can't know yet it says. Of each instance it prints the attributes with their values,
the key and what the key digests, the outcome that is stored, and the digests of the outputs, which cbuild cas get prints.`,
		Example: "  cbuild show report\n  cbuild show 'check[serde-1.0.210][before]'\n  cbuild show --json check | jq .key",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: c.completeTargets,
		RunE: func(_ *cobra.Command, args []string) error { return c.show(args, asJSON) },
	}
	c.loadFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}

// shown is an instance as show prints it.
type shown struct {
	Instance   string            `json:"instance"`
	Outcome    string            `json:"outcome"`
	Attributes attributes        `json:"attributes,omitempty"`
	Key        string            `json:"key,omitempty"`
	Log        string            `json:"log,omitempty"`
	Outs       map[string]string `json:"outs,omitempty"`
	Facts      map[string]string `json:"facts,omitempty"`
	Components []string          `json:"components,omitempty"`
	Items      map[string]any    `json:"items,omitempty"`
}

// attributes are written as an object in their own order.
type attributes []buildfile.Attribute

// MarshalJSON is json.Marshaler's.
func (a attributes) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	for i, at := range a {
		value, err := jsonText(at.Value)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", at.Name, value)
	}
	return []byte("{" + b.String() + "}"), nil
}

// jsonText is compact JSON in which <, > and & stand for themselves: it is not for web pages.
func jsonText(v any) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

func (c *cli) show(args []string, asJSON bool) error {
	return c.inspect(args, func(s *session, sel buildfile.Selection) error {
		e := &explainer{session: s, missing: make(map[string][]byte)}
		noted := s.noteAttributes(sel.Target)
		b := engine.New(engine.Options{
			Targets: s.workspace.Targets, Cache: s.store, Jobs: 1, Connections: 1, Window: 64, Spool: s.spool, Dry: true,
			Explain: func(t *engine.Target, name string, a engine.Action) string {
				e.note(t, name, a)
				return s.reason(t, name, a)
			},
		})
		if sel.Target.Query != nil {
			return s.showQuery(b, sel, noted, asJSON)
		}
		return s.instances(b, sel, func(name string, o *engine.Outcome) error {
			one := shown{Instance: name, Outcome: string(o.Class()), Attributes: noted.of(name), Key: o.Key.String(), Components: e.components(name, o)}
			if o.Err != nil {
				one.Outcome = o.Err.Error()
			}
			if r := o.Result; r != nil {
				one.Log, one.Facts, one.Outs = r.Log.String(), r.Facts, make(map[string]string)
				for _, out := range r.Outs {
					one.Outs[out.Path] = out.Digest.String()
				}
			}
			return one.print(c.stdout, asJSON)
		})
	})
}

// showQuery prints the items of a query, as far as its answers are pinned.
func (s *session) showQuery(b *engine.Build, sel buildfile.Selection, noted *notedAttributes, asJSON bool) error {
	if err := b.Run(context.Background(), []engine.Want{{Label: sel.Target.Label}}); err != nil {
		return &statusError{exitBug, err}
	}
	name := sel.Target.InstanceName("", nil)
	one := shown{Instance: name, Outcome: "pass", Attributes: noted.of(name), Items: make(map[string]any)}
	for row, err := range b.Whole(context.Background(), sel.Target.Label) {
		switch {
		case errors.Is(err, engine.ErrNotStored):
			one.Outcome = "not all of its answers are pinned"
		case err != nil:
			one.Outcome = err.Error()
		case sel.Includes(row.Key, nil):
			one.Items[row.Key] = buildfile.Printable(row.Value)
		}
	}
	return one.print(s.cli.stdout, asJSON)
}

// notedAttributes are those of the instances of one target, by name.
type notedAttributes struct {
	mu   sync.Mutex
	list map[string]attributes // guarded by mu
}

func (n *notedAttributes) of(name string) attributes {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.list[name]
}

// noteAttributes makes t evaluate its attributes for show, too, when it plans an instance.
func (s *session) noteAttributes(t *engine.Target) *notedAttributes {
	n := &notedAttributes{list: make(map[string]attributes)}
	note := func(ctx context.Context, v engine.View, i engine.Instance) {
		list, err := s.workspace.Attributes(ctx, v, i)
		if err != nil {
			return // so does the plan, which tells it
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.list[i.Name()] = list
	}
	if plan := t.Plan; plan != nil {
		t.Plan = func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
			note(ctx, v, i)
			return plan(ctx, v, i)
		}
	}
	if query := t.Query; query != nil {
		t.Query = func(ctx context.Context, v engine.View) iter.Seq2[engine.Item, error] {
			note(ctx, v, engine.Instance{Target: t})
			return query(ctx, v)
		}
	}
	return n
}

// components lists what the key of an instance digests.
func (e *explainer) components(name string, o *engine.Outcome) []string {
	preimage := e.missing[name]
	if preimage == nil && !o.Key.IsZero() {
		if r, err := e.store.Stored(context.Background(), o.Key); err == nil && r != nil {
			preimage = r.Preimage
		}
	}
	return strings.FieldsFunc(engine.Legible(string(preimage)), func(r rune) bool { return r == '\n' })
}

func (s *shown) print(w io.Writer, asJSON bool) error {
	if asJSON {
		line, err := jsonText(s)
		if err == nil {
			_, err = fmt.Fprintln(w, line)
		}
		return err
	}
	fmt.Fprintf(w, "%s: %s\n", s.Instance, s.Outcome)
	for _, a := range s.Attributes {
		value, err := jsonText(a.Value)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "  %s = %s\n", a.Name, value)
	}
	if s.Key != "" {
		fmt.Fprintf(w, "  key %s\n", s.Key)
	}
	for _, line := range s.Components {
		fmt.Fprintf(w, "    %s\n", line)
	}
	for _, path := range slices.Sorted(maps.Keys(s.Outs)) {
		fmt.Fprintf(w, "  out %s %s\n", path, s.Outs[path])
	}
	if s.Log != "" {
		fmt.Fprintf(w, "  log %s\n", s.Log)
	}
	for _, key := range slices.Sorted(maps.Keys(s.Items)) {
		value, err := jsonText(s.Items[key])
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "  item %s %s\n", key, value)
	}
	return nil
}
