package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"cbuild/engine"
	"cbuild/internal/buildfile"
	"cbuild/internal/checkout"
)

func (c *cli) showCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show TARGET[INSTANCE]…", Short: "Show evaluated attributes, keys, outcomes and outputs",
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return c.show(args, asJSON) },
	}
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

func (c *cli) graphCommand() *cobra.Command {
	var form string
	cmd := &cobra.Command{
		Use: "graph [TARGET…]", Short: "Show what refers to what; barriers are marked",
		RunE: func(_ *cobra.Command, args []string) error { return c.graph(args, form) },
	}
	cmd.Flags().StringVar(&form, "format", "tree", "tree, dot, mermaid or json")
	for _, name := range []string{"dot", "mermaid", "json"} {
		cmd.Flags().BoolFunc(name, "the same as --format="+name, func(string) error { form = name; return nil })
	}
	return cmd
}

// edge is a reference from one target to another.
type edge struct {
	From      string `json:"from"`
	To        string `json:"to"`
	Mode      string `json:"mode"`
	Barrier   bool   `json:"barrier"`
	Attribute string `json:"attribute"`
	Where     string `json:"where"`
}

// workspaceGraph holds the references between the targets of a workspace.
type workspaceGraph struct {
	targets map[engine.Label]*engine.Target
}

func newGraph(w *buildfile.Workspace) *workspaceGraph {
	g := &workspaceGraph{targets: make(map[engine.Label]*engine.Target)}
	for _, t := range w.Targets {
		g.targets[t.Label] = t
	}
	return g
}

func (g *workspaceGraph) edges(t *engine.Target) []edge {
	var all []edge
	for _, n := range t.Needs {
		to := g.targets[n.Label]
		all = append(all, edge{
			From: t.Label.String(), To: n.Label.String(), Mode: n.Mode.String(), Attribute: n.Attribute, Where: n.Where,
			Barrier: n.Mode == engine.WholeMode && to != nil && to.Repeated,
		})
	}
	return all
}

func (c *cli) graph(patterns []string, form string) error {
	w, err := c.load(nil)
	if err != nil {
		return err
	}
	targets, diags := w.Resolve(patterns)
	if err := c.report(diags); err != nil {
		return err
	}
	g := newGraph(w)
	switch form {
	case "tree":
		for _, t := range targets {
			fmt.Fprintf(c.stdout, "%s (%s)\n", t.Label, t.Rule)
			g.tree(c.stdout, t, "", make(map[engine.Label]bool))
		}
		return nil
	case "dot", "mermaid", "json":
		g.flat(c.stdout, targets, form)
		return nil
	}
	return usagef("--format=%s: want tree, dot, mermaid or json", form)
}

// tree prints what t needs below it; what was printed before is only named.
func (g *workspaceGraph) tree(w io.Writer, t *engine.Target, indent string, seen map[engine.Label]bool) {
	seen[t.Label] = true
	edges := g.edges(t)
	for i, e := range edges {
		branch, below := "├─ ", "│  "
		if i == len(edges)-1 {
			branch, below = "└─ ", "   "
		}
		to := g.targets[t.Needs[i].Label]
		mark := ""
		if e.Barrier {
			mark = ", waits for all of it"
		}
		again := ""
		if seen[to.Label] && len(to.Needs) > 0 {
			again = " …"
		}
		fmt.Fprintf(w, "%s%s%s (%s; %s by %s%s)%s\n", indent, branch, e.To, to.Rule, e.Mode, e.Attribute, mark, again)
		if !seen[to.Label] {
			g.tree(w, to, indent+below, seen)
		}
	}
}

// flat prints all edges that targets reach.
func (g *workspaceGraph) flat(w io.Writer, targets []*engine.Target, form string) {
	head, foot, line := "digraph cbuild {\n  rankdir=RL;\n", "}\n", func(e edge) {
		style := ""
		if e.Barrier {
			style = " [style=bold, label=\"barrier\"]"
		}
		fmt.Fprintf(w, "  %q -> %q%s;\n", e.From, e.To, style)
	}
	switch form {
	case "mermaid":
		head, foot, line = "flowchart RL\n", "", func(e edge) {
			arrow := "-->"
			if e.Barrier {
				arrow = "==>|barrier|"
			}
			fmt.Fprintf(w, "  %s[%q] %s %s[%q]\n", node(e.From), e.From, arrow, node(e.To), e.To)
		}
	case "json":
		head, foot, line = "", "", func(e edge) {
			text, _ := json.Marshal(e) // strings and bools
			fmt.Fprintf(w, "%s\n", text)
		}
	}
	io.WriteString(w, head)
	seen := make(map[engine.Label]bool)
	var visit func(t *engine.Target)
	visit = func(t *engine.Target) {
		if seen[t.Label] {
			return
		}
		seen[t.Label] = true
		for i, e := range g.edges(t) {
			line(e)
			visit(g.targets[t.Needs[i].Label])
		}
	}
	for _, t := range targets {
		visit(t)
	}
	io.WriteString(w, foot)
}

// node makes a label an identifier of mermaid's.
func node(label string) string {
	return "n" + strings.NewReplacer("/", "_", ":", "__", "-", "___", ".", "____").Replace(label)
}

func (c *cli) whyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "why A B", Short: "Show the chain of references by which A needs B", Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error { return c.why(args[0], args[1]) },
	}
}

func (c *cli) why(from, to string) error {
	w, err := c.load(nil)
	if err != nil {
		return err
	}
	var ends []*engine.Target
	for _, p := range []string{from, to} {
		targets, diags := w.Resolve([]string{p})
		if err := c.report(diags); err != nil {
			return err
		}
		if len(targets) != 1 {
			return usagef("%s: want one target, this is %d", p, len(targets))
		}
		ends = append(ends, targets[0])
	}
	chain := newGraph(w).path(ends[0], ends[1])
	if chain == nil {
		fmt.Fprintf(c.stderr, "%v does not need %v\n", ends[0].Label, ends[1].Label)
		return &statusError{status: exitFailed}
	}
	for _, e := range chain {
		fmt.Fprintf(c.stdout, "%s needs %s (%s, in %q)\n", e.From, e.To, e.Where, e.Attribute)
	}
	return nil
}

// path returns a shortest chain of references; nil if there is none.
func (g *workspaceGraph) path(from, to *engine.Target) []edge {
	came := map[engine.Label]edge{from.Label: {}}
	for queue := []*engine.Target{from}; len(queue) > 0; queue = queue[1:] {
		t := queue[0]
		for i, e := range g.edges(t) {
			next := g.targets[t.Needs[i].Label]
			if _, ok := came[next.Label]; ok {
				continue
			}
			came[next.Label] = e
			queue = append(queue, next)
		}
	}
	if _, ok := came[to.Label]; !ok || from == to {
		return nil
	}
	byName := make(map[string]engine.Label)
	for l := range g.targets {
		byName[l.String()] = l
	}
	var chain []edge
	for at := to.Label; at != from.Label; {
		e := came[at]
		chain = append(chain, e)
		at = byName[e.From]
	}
	slices.Reverse(chain)
	return chain
}

func (c *cli) cleanCommand() *cobra.Command {
	return &cobra.Command{
		Use: "clean", Short: "Remove cbuild-out", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			w, err := c.load(nil)
			if err != nil {
				return err
			}
			return checkout.Remove(filepath.Join(w.Root, outName))
		},
	}
}

func (c *cli) execCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "exec TARGET [-- ARG…]", Short: "Build a program and run it here",
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 && args[1] == "--" {
				args = append(args[:1], args[2:]...)
			}
			return c.exec(args[0], args[1:])
		},
	}
	c.buildFlags(cmd)
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// exec builds the target and becomes the program that is its only output.
func (c *cli) exec(target string, args []string) error {
	stdout := c.stdout
	c.stdout = &output{to: io.Discard} // it belongs to the program
	r, err := c.buildRun([]string{target})
	c.stdout = stdout
	if err != nil {
		return err
	}
	if len(r.paths) != 1 {
		return usagef("%s has no output that can be executed", target)
	}
	program, err := filepath.Abs(r.paths[0])
	if err != nil {
		return usagef("%w", err)
	}
	if info, err := os.Stat(program); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
		return usagef("%s has no single output that can be executed", target)
	}
	return usagef("%s: %w", program, syscall.Exec(program, append([]string{program}, args...), os.Environ()))
}

// completeLabels offers the targets of the workspace to the shell.
func (c *cli) completeLabels(_ *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	w, _ := c.quietLoad()
	if w == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, t := range w.Targets {
		name := t.Label.String()
		if t.Label.Dir == w.Package && !strings.HasPrefix(toComplete, "/") {
			name = t.Label.Name
		}
		if strings.HasPrefix(name, toComplete) {
			names = append(names, name+"\t"+t.Rule)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
