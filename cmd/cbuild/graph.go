package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"cbuild/engine"
	"cbuild/internal/graph"
)

func (c *cli) graphCommand() *cobra.Command {
	form := "tree"
	cmd := &cobra.Command{
		Use: "graph [TARGET…] [NAME=VALUE…]", Short: "Show what refers to what; barriers are marked",
		Long: `graph prints the references between targets, as they stand in the files. A barrier waits for all instances of a target before the
first one that reads it can start; other references follow a collection while it grows, or wait for single instances.`,
		Example: "  cbuild graph\n  cbuild graph report --dot | dot -Tsvg > graph.svg", ValidArgsFunction: c.completeTargets,
		RunE: func(_ *cobra.Command, args []string) error { return c.graph(args, form) },
	}
	c.loadFlags(cmd)
	f := cmd.Flags()
	f.Var(oneOf(&form, "tree", "dot", "mermaid", "json"), "format", "tree, dot, mermaid, or json: an object a line")
	for _, name := range []string{"dot", "mermaid", "json"} {
		f.Var(alias{&form, name}, name, "the same as --format="+name)
		f.Lookup(name).NoOptDefVal = "true"
	}
	return cmd
}

// An alias is a flag without a value that sets another one.
type alias struct {
	value *string
	to    string
}

func (a alias) String() string   { return "false" }
func (a alias) Type() string     { return "bool" }
func (a alias) Set(string) error { *a.value = a.to; return nil }

// edge is a reference from one target to another, as graph prints it.
type edge struct {
	From      string `json:"from"`
	To        string `json:"to"`
	Mode      string `json:"mode"`
	Barrier   bool   `json:"barrier"`
	Attribute string `json:"attribute"`
	Where     string `json:"where"`
}

func printable(e graph.Edge) edge {
	return edge{e.From.Label.String(), e.To.Label.String(), e.Mode.String(), e.Barrier(), e.Attribute, e.Where}
}

func (c *cli) graph(args []string, form string) error {
	patterns, vars := splitVars(args)
	w, err := c.load(vars)
	if err != nil {
		return err
	}
	targets, diags := w.Resolve(patterns)
	if err := c.report(diags); err != nil {
		return err
	}
	g := graph.New(w.Targets)
	if form != "tree" {
		printEdges(c.stdout, g, targets, form)
		return nil
	}
	for _, t := range targets {
		fmt.Fprintf(c.stdout, "%s (%s)\n", t.Label, t.Rule)
		printTree(c.stdout, g, t, "", make(map[*engine.Target]bool))
	}
	return nil
}

// printTree prints what t needs below it; what was printed before is only named.
func printTree(w io.Writer, g *graph.Graph, t *engine.Target, indent string, seen map[*engine.Target]bool) {
	seen[t] = true
	edges := g.Edges(t)
	for i, e := range edges {
		branch, below := "├─ ", "│  "
		if i == len(edges)-1 {
			branch, below = "└─ ", "   "
		}
		mark := ""
		if e.Barrier() {
			mark = ", waits for all of it"
		}
		again := ""
		if seen[e.To] && len(e.To.Needs) > 0 {
			again = " …"
		}
		fmt.Fprintf(w, "%s%s%s (%s; %s by %s%s)%s\n", indent, branch, e.To.Label, e.To.Rule, e.Mode, e.Attribute, mark, again)
		if !seen[e.To] {
			printTree(w, g, e.To, indent+below, seen)
		}
	}
}

// printEdges prints all edges that targets reach.
func printEdges(w io.Writer, g *graph.Graph, targets []*engine.Target, form string) {
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
	seen := make(map[*engine.Target]bool)
	var visit func(t *engine.Target)
	visit = func(t *engine.Target) {
		if seen[t] {
			return
		}
		seen[t] = true
		for _, e := range g.Edges(t) {
			line(printable(e))
			visit(e.To)
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
	cmd := &cobra.Command{
		Use: "why A B", Short: "Show the chain of references by which A needs B",
		Long:    "why prints a shortest chain of references, each with the place in the files where it is made. It ends with status 1 if there is none.",
		Example: "  cbuild why report go", Args: cobra.ExactArgs(2), ValidArgsFunction: c.completeLabels,
		RunE: func(_ *cobra.Command, args []string) error { return c.why(args[0], args[1]) },
	}
	c.loadFlags(cmd)
	return cmd
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
	chain := graph.New(w.Targets).Path(ends[0], ends[1])
	if chain == nil {
		fmt.Fprintf(c.stderr, "%v does not need %v\n", ends[0].Label, ends[1].Label)
		return &statusError{status: exitFailed}
	}
	for _, e := range chain {
		fmt.Fprintf(c.stdout, "%s needs %s (%s, in %q)\n", e.From.Label, e.To.Label, e.Where, e.Attribute)
	}
	return nil
}
