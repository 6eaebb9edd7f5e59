package buildfile

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"golang.org/x/text/unicode/norm"

	"cbuild/engine"
)

// An Evaluation is an expression that somebody asks the value of, as on the command line.
type Evaluation struct {
	// Target is nil if the value is known. Else the expression mentions targets: a build of Target, among the targets of the
	// workspace, finds the value, and the outcome of its only instance says whether there is one.
	Target *engine.Target

	value engine.Value
}

// evalName is what the source of an evaluation is called in diagnostics.
const evalName = "expression"

// Eval compiles an expression in the current package. It may mention variables, locals, functions and targets, but no each: it stands in
// no target. What is wrong with it comes as diagnostics; then the evaluation is nil.
func (w *Workspace) Eval(text string) (*Evaluation, *Diagnostics) {
	diags := new(Diagnostics)
	own, ok := w.packages[w.Package]
	if !ok {
		diags.plain("No package here", "There is no "+FileName+" in //"+w.Package+".")
		return nil, diags
	}
	p := *own
	p.diags, p.src = diags, &source{name: evalName, data: []byte(text), files: w.sources}
	start := hcl.Range{Filename: evalName, Start: hcl.InitialPos, End: hcl.InitialPos}
	if why := tooDeep(p.src.data); why != "" {
		diags.add(p.src, start, "Too deeply nested", why)
		return nil, diags
	}
	parsed, parseDiags := hclsyntax.ParseExpression(norm.NFC.Bytes(p.src.data), evalName, hcl.InitialPos)
	diags.hcl(p.src, parseDiags)
	if diags.HasErrors() {
		return nil, diags
	}
	e := p.compile(parsed, nil, evalName, allow{targets: true}, false)
	if e.each != nil && !e.bad {
		diags.add(p.src, *e.each, "No each here", "The expression stands in no target, so nothing is repeated.")
	}
	if diags.HasErrors() {
		return nil, diags
	}
	ev := new(Evaluation)
	if len(e.uses) > 0 {
		ev.Target = p.evalTarget(e, ev)
		return ev, diags
	}
	var eerr *evalError
	if ev.value, eerr = newScope(noContext, &p, nil, nil).evalPlain(e); eerr != nil {
		diags.list = append(diags.list, eerr.diagnostic())
		return nil, diags
	}
	return ev, diags
}

// evalTarget returns the target that evaluates e into ev. No label of a file is like its own.
func (p *pkg) evalTarget(e *expr, ev *Evaluation) *engine.Target {
	t := &target{needs: e.uses}
	return &engine.Target{
		Label: engine.Label{Dir: p.dir, Name: "(" + evalName + ")"}, Rule: "eval", Needs: t.engineNeeds(),
		Plan: func(ctx context.Context, v engine.View, _ engine.Instance) (*engine.Plan, error) {
			s := newScope(ctx, p, nil, v)
			s.perRow = true // somebody wants to know what became of it
			value, err := s.evalPlain(e)
			if err != nil {
				return nil, err.outcome()
			}
			ev.value = value
			return &engine.Plan{Action: nothing{}, Trivial: true}, nil
		},
	}
}

// nothing is an action that does nothing.
type nothing struct{}

func (nothing) Key() engine.Key  { return engine.Key{} }
func (nothing) Preimage() []byte { return nil }

func (nothing) Do(context.Context, func(engine.Event)) (*engine.Result, error) {
	return new(engine.Result), nil
}

// Value returns what was found: plain data with artifacts.
func (e *Evaluation) Value() engine.Value { return e.value }

// Text writes the value for a terminal: a string as it is, anything else as JSON. An artifact is its digest.
func (e *Evaluation) Text() string {
	v := printable(e.value)
	if s, ok := v.(string); ok {
		return s
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err.Error()
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// printable returns v with digests in place of artifacts.
func printable(v engine.Value) any {
	switch v := v.(type) {
	case engine.Artifact:
		return v.Digest.String()
	case engine.Text:
		return v.Render(func(a engine.Artifact) string { return a.Digest.String() })
	case []engine.Value:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = printable(e)
		}
		return list
	case engine.Object:
		members := make(map[string]any, len(v))
		for k, e := range v {
			members[k] = printable(e)
		}
		return members
	case nil, bool, int64, float64, string:
		return v
	case *engine.Row:
		return v.Target.InstanceName(v.Key, nil)
	}
	return fmt.Sprint(v)
}
