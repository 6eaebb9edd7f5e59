package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"cbuild/cas/local"
	"cbuild/engine"
	"cbuild/internal/state"
	"cbuild/internal/vfs"
)

func (c *cli) casStats(s *local.Local) error {
	targets := c.targetsByKey()
	b, err := s.Breakdown(context.Background(), func(k engine.Key) string { return targets[k] })
	if err != nil {
		return &statusError{exitTrouble, err}
	}
	fmt.Fprintf(c.stdout, "%s\n%d blobs, %d records, %d bytes\n", s.Dir(), b.Loose.Blobs+b.Packed.Blobs, b.Records.Results, b.Loose.Bytes+b.Packed.Bytes+b.Records.Bytes)
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush() // if it fails, that is told at the end
	row := func(name string, sp local.Space) {
		fmt.Fprintf(w, "%s\t%d results\t%d blobs\t%s\t\n", name, sp.Results, sp.Blobs, sizeText(sp.Bytes))
	}
	row("blobs in files", b.Loose)
	row(fmt.Sprintf("blobs in %d packs", b.Packs), b.Packed)
	row("results", b.Records)
	row("trash", b.Trash)
	for _, rule := range largest(b.Rules) {
		row("of "+rule, b.Rules[rule])
	}
	row("of no result", b.Other)
	if len(targets) > 0 {
		w.Flush()
		fmt.Fprintln(c.stdout, "of the targets of this workspace, as they were built last:")
		for _, target := range largest(b.Targets) {
			row(target, b.Targets[target])
		}
		row("several of them", b.Shared)
		row("what they had before, and other workspaces", b.Elsewhere)
	}
	return nil
}

// largest returns names by the bytes of their spaces.
func largest(spaces map[string]local.Space) []string {
	return slices.SortedFunc(maps.Keys(spaces), func(x, y string) int {
		return cmp.Or(cmp.Compare(spaces[y].Bytes, spaces[x].Bytes), cmp.Compare(x, y))
	})
}

// targetsByKey returns which target of this workspace has a key: of those that share it, the first by name. Outside of a workspace, and where its files
// have mistakes, there are none.
func (c *cli) targetsByKey() map[engine.Key]string {
	w, err := c.quietLoad()
	if err != nil {
		return nil
	}
	base, err := c.stateDir()
	if err != nil {
		return nil
	}
	keys := state.NewKeys(vfs.OS, filepath.Join(base, workspaceName(w.Root), "keys"), "")
	targets := make(map[engine.Key]string)
	for _, t := range w.Targets {
		label := t.Label.String()
		for k := range keys.All(label) {
			if had, ok := targets[k]; !ok || label < had {
				targets[k] = label
			}
		}
	}
	return targets
}
