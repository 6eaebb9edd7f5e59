package rules

import (
	"context"
	"path"
	"runtime"
	"slices"
	"strings"

	"cbuild/engine"
)

// The words that stand for systems.
const (
	hostSystem = "host"
	noSystem   = "none"
)

// system returns the lines for what c may use of the machine, or of another system, and says in c which that is.
func (r *Run) system(ctx context.Context, rt *Runtime, c *engine.Command) ([]string, error) {
	switch s := r.System.(type) {
	case nil:
		return r.host(ctx, rt, c, nil)
	case string:
		switch s {
		case hostSystem:
			return r.host(ctx, rt, c, nil)
		case noSystem:
			c.System = engine.SystemNone
			return r.elsewhere(noSystem)
		}
		return nil, invalidf("system: %q is no system: there are \"host\", \"none\", lists of packages, and artifacts", s)
	case []engine.Value:
		var packages []string
		for _, v := range s {
			name, ok := v.(string)
			if !ok {
				return nil, invalidf("system: want a list of names of packages")
			}
			packages = append(packages, name)
		}
		return r.host(ctx, rt, c, packages)
	case engine.Artifact:
		return r.rooted(c, s)
	case engine.Text:
		if a, ok := s.Single(); ok {
			return r.rooted(c, a)
		}
	}
	return nil, invalidf("system: want \"host\", \"none\", a list of names of packages, or an artifact")
}

// rooted makes a the root directory.
func (r *Run) rooted(c *engine.Command, a engine.Artifact) ([]string, error) {
	if a.Kind != engine.TreeKind {
		return nil, invalidf("system: %s is a file; a root file system is a directory", a.Name)
	}
	c.System, c.Root = engine.SystemRoot, a
	return r.elsewhere("root " + a.Digest.String())
}

// elsewhere returns the lines for a system that is not the machine's. What is executed still is for a kind of machine.
func (r *Run) elsewhere(system string) ([]string, error) {
	if len(r.Tools) > 0 {
		return nil, invalidf("tools: they are programs of the host, of which there is nothing with this system")
	}
	return []string{system, "os " + runtime.GOOS, "arch " + runtime.GOARCH}, nil
}

// host returns the lines for the machine's system, with further packages.
func (r *Run) host(ctx context.Context, rt *Runtime, c *engine.Command, packages []string) ([]string, error) {
	programs := slices.Clone(r.Tools)
	first := c.Argv[0]
	if path.IsAbs(first) || !strings.ContainsAny(first, "/\uFDD0") {
		programs = append([]string{first}, programs...)
	}
	lines, portable, err := rt.System.Host(ctx, programs, packages)
	if err != nil && len(r.Toolchains) > 0 && len(programs) > len(r.Tools) {
		// The toolchain brings the program; the host need not have it.
		lines, portable, err = rt.System.Host(ctx, r.Tools, packages)
	}
	if err == nil && !portable {
		lines = append(slices.Clone(lines), "machine "+rt.Machine)
	}
	return lines, r.notFound(err, first)
}
