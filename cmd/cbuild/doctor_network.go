package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"cbuild/engine"
	"cbuild/rules/registry"
)

// askFor is how long somebody who is asked has for an answer.
const askFor = 5 * time.Second

// proxies says which the environment names, without their passwords.
func (x *examination) proxies() {
	var all []string
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		for _, name := range []string{name, strings.ToLower(name)} {
			if v, ok := x.env(name); ok && v != "" {
				if u, err := url.Parse(v); err == nil {
					v = u.Redacted()
				}
				all = append(all, name+"="+v)
			}
		}
	}
	if len(all) == 0 {
		x.ok("proxies", "none")
		return
	}
	x.ok("proxies", "%s", strings.Join(all, " "))
}

// kindRegistries are the registries that toolchains come from.
var kindRegistries = map[string]string{"go": "go", "node": "npm"}

// kindPlaces are the places of publishers that toolchains come from, and the variables that name others.
var kindPlaces = map[string][2]string{
	"rust": {"RUSTUP_DIST_SERVER", "https://static.rust-lang.org"}, "zig": {"CBUILD_ZIG_INDEX", "https://ziglang.org/download/index.json"},
}

// network asks everybody once whom a build of this workspace may ask.
func (x *examination) network(ctx context.Context, s *session) {
	if s.client.Offline() {
		x.ok("network", "left out: --offline")
		return
	}
	names, kinds := s.workspace.Registries()
	for _, k := range kinds {
		if name, ok := kindRegistries[k]; ok {
			names = append(names, name)
		}
		if p, ok := kindPlaces[k]; ok {
			address, from := p[1], "its publisher"
			if v, ok := x.env(p[0]); ok && v != "" {
				address, from = v, p[0]
			}
			x.reach(ctx, k, address, from)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		placed, ok := s.runtime.Registries[name].(registry.Placed)
		if !ok {
			continue
		}
		places, err := placed.Places(ctx)
		if err != nil {
			x.fail("registry "+name, "cbuild reads where the registry is from the ecosystem's own configuration.", "%v", err)
			continue
		}
		for _, p := range places {
			x.reach(ctx, "registry "+name, p.URL, p.From)
		}
	}
	hosts := map[string]bool{}
	for _, address := range s.workspace.Addresses() {
		if u, err := url.Parse(address); err == nil && u.Host != "" && !hosts[u.Host] {
			hosts[u.Host] = true
			x.reach(ctx, "network", address, "the build files")
		}
	}
}

// reach asks an address once. Any answer will do: it is enough that somebody is there.
func (x *examination) reach(ctx context.Context, what, address, from string) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		x.fail(what, "", "%s names no address", from)
		return
	}
	shown := u.Redacted()
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	begun := time.Now()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
	if err == nil {
		req.Header.Set("User-Agent", "cbuild/"+version)
		var resp *http.Response
		if resp, err = client.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusProxyAuthRequired {
				err = errors.New("the proxy wants a password")
			}
		}
	}
	if err == nil {
		x.ok(what, "%s answers in %v (from %s)", shown, time.Since(begun).Round(time.Millisecond), from)
		return
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	x.fail(what, "Look at the network and at HTTPS_PROXY; with --offline builds use what is here already.", "%s can't be reached (from %s): %v", shown, from, err)
}

// toolchains says which the workspace has, and whether the last build's are there.
func (x *examination) toolchains(ctx context.Context, s *session) {
	for _, t := range s.workspace.Targets {
		if t.Rule != "toolchain" {
			continue
		}
		what := "toolchain " + t.Label.String()
		var have []string
		gone := 0
		for k := range s.keys.All(t.Label.String()) {
			r, _, err := s.store.Lookup(ctx, k, engine.Conditions{}, engine.LookupNormal)
			if err != nil || r == nil || len(r.Outs) == 0 {
				gone++
				continue
			}
			have = append(have, fmt.Sprintf("%s (%s)", r.Facts["version"], r.Outs[0].Artifact.Digest.Hex()[:12]))
		}
		slices.Sort(have)
		switch {
		case len(have) > 0:
			x.ok(what, "%s", strings.Join(slices.Compact(have), ", "))
		case gone > 0:
			x.warn(what, "The next build that needs it gets it again.", "not in the store any more")
		default:
			x.ok(what, "not needed yet: the first build that needs it gets it")
		}
	}
}
