package registry

import (
	"context"
	"strings"
)

// A Placed is a Registry that can say where it asks, for people who look for what is wrong.
type Placed interface {
	// Places returns the addresses that are asked, in their order, and what configures them.
	Places(ctx context.Context) ([]Place, error)
}

// A Place is an address, and where it comes from. It names a host, so it is shown on a terminal and nowhere else.
type Place struct{ URL, From string }

// Places implements Placed.
func (g *Go) Places(ctx context.Context) (all []Place, err error) {
	c, err := g.configuration(ctx)
	if err != nil {
		return nil, err
	}
	from := "go env"
	if v, ok := g.opts.Env("GOPROXY"); ok && v != "" {
		from = "GOPROXY"
	}
	for _, p := range c.proxies {
		if strings.HasPrefix(p.URL, "http") {
			all = append(all, Place{p.URL, from})
		}
	}
	return all, nil
}

// Places implements Placed.
func (n *NPM) Places(ctx context.Context) ([]Place, error) {
	c, err := n.configuration(ctx)
	if err != nil {
		return nil, err
	}
	from := ".npmrc or npm config"
	if n.opts.Machine.env("npm_config_registry", "NPM_CONFIG_REGISTRY") != "" {
		from = "npm_config_registry"
	}
	return []Place{{c.common, from}}, nil
}

// Places implements Placed.
func (d *Debian) Places(ctx context.Context) (all []Place, err error) {
	sources, err := d.configuration()
	if err != nil {
		return nil, err
	}
	from := "apt's sources"
	if d.opts.Machine.env("DEBIAN_MIRROR") != "" {
		from = "DEBIAN_MIRROR"
	}
	for _, s := range sources {
		all = append(all, Place{s.base, from})
	}
	return all, nil
}

// Places implements Placed.
func (c *Crates) Places(context.Context) ([]Place, error) {
	index, err := c.configured()
	return []Place{{index + "/config.json", "cargo's configuration, or crates.io itself"}}, err
}

// Places implements Placed.
func (p *PyPI) Places(context.Context) ([]Place, error) {
	b, err := p.index()
	return []Place{{b, "pip's configuration, or pypi.org itself"}}, err
}

// Places implements Placed.
func (g *GitHub) Places(context.Context) ([]Place, error) {
	if err := g.configure(); err != nil {
		return nil, err
	}
	return []Place{{g.api, "GITHUB_API_URL, or github.com itself"}}, nil
}
