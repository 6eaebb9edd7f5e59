package rules

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/rules/archive"
	"cbuild/rules/registry"
)

// nodeNames are this machine's words in the names of npm's packages that hold a node for one platform.
var nodeNames = map[string]string{"amd64": "x64", "386": "x86", "windows": "win"}

func nodeName(word string) string { return cmpOr(nodeNames[word], word) }

// planNode takes node from the registry of npm: a package for each platform has the same version as the node in it. npm, which is written
// in JavaScript, is a package like any other.
func (r *Toolchain) planNode(ctx context.Context, rt *Runtime, self Self) (*engine.Plan, error) {
	reg := rt.Registries["npm"]
	if reg == nil {
		return nil, &engine.InvalidError{Err: errors.New("kind: there is no registry npm")}
	}
	node := "node-" + nodeName(runtime.GOOS) + "-" + nodeName(runtime.GOARCH)
	wanted := []string{node + "@" + strings.TrimPrefix(r.Version, "v")}
	for _, c := range r.Components {
		if name, _, _ := strings.Cut(c, "@"); name != "npm" {
			return nil, &engine.InvalidError{Err: fmt.Errorf("components: node has no component %q, only npm", c)}
		}
		if len(wanted) > 1 {
			return nil, &engine.InvalidError{Err: errors.New("components: npm is there twice")}
		}
		wanted = append(wanted, c)
	}
	answer, err := r.askFiles(ctx, rt, self, "node "+strings.Join(wanted, " "), func(ctx context.Context) (*toolAnswer, error) {
		return askNode(ctx, reg, wanted)
	})
	if err != nil {
		return nil, err
	}
	s := &toolset{rt: rt, layout: "node", facts: map[string]string{"version": answer.Version, "bin": "bin", "env": r.environment(nil)}}
	for _, f := range answer.Files {
		p, err := r.newPart(rt, self, f.Address, f.Checksum, archive.Options{Format: archive.TarGz, Strip: 1})
		if err != nil {
			return nil, err
		}
		if f.Name == "npm" {
			p.into = "lib/node_modules/npm"
			for _, program := range []string{"npm", "npx"} {
				p.links = append(p.links, cas.Entry{Path: "bin/" + program, Kind: cas.SymlinkEntry, Target: "../lib/node_modules/npm/bin/" + program + "-cli.js"})
			}
		}
		s.parts = append(s.parts, p)
	}
	return r.planSet(s), nil
}

// askNode asks npm's registry for packages; the first is node itself.
func askNode(ctx context.Context, reg registry.Registry, wanted []string) (*toolAnswer, error) {
	var a toolAnswer
	for i, w := range wanted {
		item, err := onlyItem(ctx, reg, engine.Object{"packages": []engine.Value{w}})
		if err != nil {
			return nil, err
		}
		version, _ := item["version"].(string)
		url, _ := item["url"].(string)
		integrity, _ := item["integrity"].(string)
		if version == "" || url == "" || integrity == "" {
			return nil, &engine.UnavailableError{Err: fmt.Errorf("npm's registry has no %s", w)}
		}
		sum, err := parseIntegrity(integrity)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w, err)
		}
		name, _, _ := strings.Cut(w, "@")
		if i == 0 {
			name, a.Version = "", version
		}
		a.Files = append(a.Files, toolFile{Name: name, Address: url, Checksum: sum.String()})
	}
	return &a, nil
}

// onlyItem returns the only item that a registry has for args.
func onlyItem(ctx context.Context, reg registry.Registry, args engine.Object) (engine.Object, error) {
	starts, err := reg.Starts(args)
	if err != nil {
		return nil, &engine.InvalidError{Err: fmt.Errorf("version: %w", err)}
	}
	for _, s := range starts {
		for page, err := range s.Pages(ctx) {
			if err != nil {
				return nil, err
			}
			for _, item := range page.Items {
				o, _ := item.Value.(engine.Object)
				return o, item.Err
			}
		}
	}
	return nil, nil
}
