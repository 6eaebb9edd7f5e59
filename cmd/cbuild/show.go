package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

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
	Key        string            `json:"key,omitempty"`
	Log        string            `json:"log,omitempty"`
	Outs       map[string]string `json:"outs,omitempty"`
	Facts      map[string]string `json:"facts,omitempty"`
	Components []string          `json:"components,omitempty"`
}

func (c *cli) show(args []string, asJSON bool) error {
	return c.inspect(args, func(s *session, sel buildfile.Selection) error {
		e := &explainer{session: s, missing: make(map[string][]byte)}
		b := engine.New(engine.Options{
			Targets: s.workspace.Targets, Cache: s.store, Jobs: 1, Connections: 1, Window: 64, Spool: s.spool, Dry: true, Explain: e.note,
		})
		return s.instances(b, sel, func(name string, o *engine.Outcome) error {
			one := shown{Instance: name, Outcome: string(o.Class()), Key: o.Key.String(), Components: e.components(name, o)}
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

// components lists what the key of an instance digests.
func (e *explainer) components(name string, o *engine.Outcome) []string {
	preimage := e.missing[name]
	if preimage == nil && !o.Key.IsZero() {
		if r, err := e.store.Stored(context.Background(), o.Key); err == nil && r != nil {
			preimage = r.Preimage
		}
	}
	return strings.FieldsFunc(string(preimage), func(r rune) bool { return r == '\n' })
}

func (s *shown) print(w io.Writer, asJSON bool) error {
	if asJSON {
		line, err := json.Marshal(s)
		if err == nil {
			_, err = fmt.Fprintf(w, "%s\n", line)
		}
		return err
	}
	fmt.Fprintf(w, "%s: %s\n", s.Instance, s.Outcome)
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
	return nil
}
