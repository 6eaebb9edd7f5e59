package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"cbuild/engine"
)

// The words that tell a helper what system its box has: the machine's, none, or the tree whose name follows.
const (
	systemHost = "host"
	systemNone = "none"
	systemTree = "tree:"
)

// system returns the word for the system of a box, and what gives back the tree behind it.
func (bs *boxes) system(ctx context.Context, kind boxKind) (word string, done func(), err error) {
	switch kind.system {
	case engine.SystemHost:
		return systemHost, func() {}, nil
	case engine.SystemNone:
		return systemNone, func() {}, nil
	}
	if _, done, err = bs.trees.Use(ctx, kind.root); err != nil {
		return "", nil, lost(fmt.Errorf("system: %w", err), kind.root)
	}
	return systemTree + kind.root.Hex(), done, nil
}

// A gathering is what of the machine a box will show: mounts, and links that are made anew.
type gathering struct {
	all   []source
	links map[string]string
}

// add takes what is at a path, if anything is, for the place at.
func (g *gathering) add(path, at string, writable bool) error {
	s, err := detach(path, at, writable)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	g.all = append(g.all, s)
	return err
}

// host takes the machine's system.
func (g *gathering) host() error {
	for _, p := range slices.Concat(systemDirs, systemFiles) {
		if to, err := os.Readlink(p); err == nil && !strings.HasPrefix(p, "/etc/") {
			g.links[p] = to
			continue
		}
		if err := g.add(p, p, false); err != nil {
			return err
		}
	}
	return nil
}

// network takes what of the machine is needed to use its network. Certificates are a part of the system.
func (g *gathering) network(host bool) error {
	for _, p := range networkFiles {
		if host || p == "/etc/resolv.conf" || p == "/etc/hosts" {
			if err := g.add(p, p, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// graft takes what is in the directory dir of a tree, each entry as one mount; only where something of ours belongs below it, its own entries. What
// is ours stays ours.
func (g *gathering) graft(tree, dir string) error {
	entries, err := os.ReadDir(filepath.Join(tree, dir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		at := path.Join(dir, e.Name())
		switch below := oursBelow(at); {
		case ours(at):
		case e.Type()&fs.ModeSymlink != 0:
			if below {
				continue
			}
			if g.links[at], err = os.Readlink(filepath.Join(tree, at)); err != nil {
				return err
			}
		case below && e.IsDir():
			if err := g.graft(tree, at); err != nil {
				return err
			}
		case below:
		default:
			if err := g.add(filepath.Join(tree, at), at, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// ownPlaces are what every box has, whatever its system has there: see furnish.
var ownPlaces = slices.Concat([]string{"/proc", "/dev", "/tmp", "/.cbuild", path.Dir(boxWork), boxTools}, slices.Collect(maps.Keys(made)), slices.Collect(maps.Keys(ownLinks)))

func ours(p string) bool { return slices.Contains(ownPlaces, p) }

func oursBelow(p string) bool {
	return slices.ContainsFunc(ownPlaces, func(o string) bool { return strings.HasPrefix(o, p+"/") })
}
