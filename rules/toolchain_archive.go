package rules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cbuild/engine"
	"cbuild/rules/archive"
)

// planArchive makes a toolchain of archives that the target names.
func (r *Toolchain) planArchive(ctx context.Context, rt *Runtime, self Self) (*engine.Plan, error) {
	list, err := archivesFor(r.Archives, platform)
	if err != nil {
		return nil, err
	}
	var o archive.Options
	if err := (&Fetch{Strip: r.Strip}).strip(&o); err != nil {
		return nil, &engine.InvalidError{Err: err}
	}
	s := &toolset{rt: rt, layout: "archive", facts: map[string]string{"version": r.Version, "bin": cmpOr(strings.Trim(r.Bin, "/"), "bin"), "env": r.environment(nil)}}
	for _, a := range list {
		if err := checkAddress(rt, a.Address); err != nil {
			return nil, &engine.InvalidError{Err: fmt.Errorf("archives: %w", err)}
		}
		p, err := r.newPart(rt, self, a.Address, a.Checksum, o)
		if err != nil {
			return nil, &engine.InvalidError{Err: fmt.Errorf("archives: %w", err)}
		}
		if _, p.fetch.local, err = localFiles(ctx, rt, self, []string{a.Address}); err != nil {
			return nil, err
		}
		s.parts = append(s.parts, p)
	}
	return r.planSet(s), nil
}

// archivesFor returns the archives for a platform that v, the value of archives, names.
func archivesFor(v engine.Value, platform string) ([]toolFile, error) {
	switch v := v.(type) {
	case []engine.Value:
		if len(v) == 0 {
			return nil, &engine.InvalidError{Err: errors.New("archives: the list is empty")}
		}
		var all []toolFile
		for _, e := range v {
			f, err := archiveOf(e)
			if err != nil {
				return nil, &engine.InvalidError{Err: err}
			}
			all = append(all, f)
		}
		return all, nil
	case engine.Object:
		if _, ok := v["url"]; ok {
			f, err := archiveOf(v)
			if err != nil {
				return nil, &engine.InvalidError{Err: err}
			}
			return []toolFile{f}, nil
		}
		for name := range v {
			if system, arch, ok := strings.Cut(name, "-"); !ok || system == "" || arch == "" {
				return nil, &engine.InvalidError{Err: fmt.Errorf("archives: %q is no platform such as \"linux-amd64\", and no member of { url, sha256 }", name)}
			}
		}
		if own, ok := v[platform]; ok {
			if nested, ok := own.(engine.Object); ok && nested["url"] == nil {
				return nil, &engine.InvalidError{Err: fmt.Errorf("archives: %s has no url", platform)}
			}
			return archivesFor(own, platform)
		}
		return nil, &engine.UnavailableError{Err: fmt.Errorf("archives: there is none for %s, only for %s", platform, strings.Join(slices.Sorted(maps.Keys(v)), ", "))}
	}
	return nil, &engine.InvalidError{Err: errors.New("archives: want { url, sha256 }, a list of such, or a map of platforms")}
}

func archiveOf(v engine.Value) (toolFile, error) {
	o, _ := v.(engine.Object)
	for name := range o {
		if name != "url" && name != "sha256" {
			return toolFile{}, fmt.Errorf("archives: unknown member %q: an archive is { url, sha256 }", name)
		}
	}
	url, _ := o["url"].(string)
	sum, _ := o["sha256"].(string)
	if url == "" || sum == "" {
		return toolFile{}, errors.New("archives: an archive needs a url and its sha256, both strings: a toolchain that may change is none")
	}
	return toolFile{Address: url, Checksum: "sha256:" + sum}, nil
}
