package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/Masterminds/semver/v3"

	"cbuild/engine"
	"cbuild/rules/download"
)

// cratesIndex is where crates.io has its index.
const cratesIndex = "https://index.crates.io"

// A cratesConfig is where crates come from.
type cratesConfig struct {
	index string // its address
	dl    string // of downloads, with or without marks such as {crate}
}

// configuration finds the index as cargo does, and asks it where downloads are.
func (c *Crates) configuration(ctx context.Context) (*cratesConfig, error) {
	return c.config.get(c.opts.Client, func() (*cratesConfig, error) { return c.read(ctx) })
}

func (c *Crates) read(ctx context.Context) (*cratesConfig, error) {
	index, err := c.configured()
	if err != nil {
		return nil, err
	}
	c.opts.Client.Declare(index)
	body, err := c.cache.get(ctx, c.opts.Client, download.Request{URL: index + "/config.json", Max: maxConfig, Local: true})
	if err != nil {
		return nil, fmt.Errorf("the index of crates: %w", err)
	}
	var said struct{ DL string }
	if err := json.Unmarshal(body, &said); err != nil {
		return nil, fmt.Errorf("the index of crates: config.json: %w", err)
	}
	config := &cratesConfig{index: index}
	if config.dl, err = base("the index of crates: dl", said.DL); err != nil {
		return nil, err
	}
	if own, err := url.Parse(index); err == nil && strings.HasPrefix(config.dl, own.Scheme+"://"+own.Hostname()) {
		c.opts.Client.Declare(config.dl)
	}
	return config, nil
}

// configured returns the address of the index: CARGO_REGISTRIES_CRATES_IO_INDEX, what the configuration of cargo has in place of
// crates-io, or crates.io itself.
func (c *Crates) configured() (string, error) {
	m := c.opts.Machine
	index := m.env("CARGO_REGISTRIES_CRATES_IO_INDEX")
	home := m.env("CARGO_HOME")
	if home == "" {
		home = m.home(".cargo")
	}
	for _, dir := range []string{filepath.Join(m.Workspace, ".cargo"), home} {
		for _, name := range []string{"config.toml", "config"} {
			if index != "" || !filepath.IsAbs(dir) {
				continue
			}
			text, err := m.read(filepath.Join(dir, name))
			if err == nil {
				index, err = replacedCrates(text)
			}
			if err != nil {
				return "", fmt.Errorf("cargo's configuration: %s: %w", filepath.Join(dir, name), err)
			}
		}
	}
	if index == "" {
		index = cratesIndex
	}
	if strings.HasSuffix(index, ".git") {
		return "", errors.New("cargo's index of crates is a git repository: name a sparse one, as in sparse+https://index.crates.io/")
	}
	return base("cargo's index of crates", strings.TrimPrefix(index, "sparse+"))
}

// replacedCrates returns the index that a configuration has in place of crates-io, "" if it has none.
func replacedCrates(text string) (string, error) {
	var said struct {
		Source map[string]struct {
			Replace  string `toml:"replace-with"`
			Registry string `toml:"registry"`
		}
		Registries map[string]struct{ Index string }
	}
	if _, err := toml.Decode(text, &said); err != nil {
		return "", err
	}
	name := "crates-io"
	for range 10 { // a circle ends, too
		s := said.Source[name]
		switch {
		case s.Replace != "":
			name = s.Replace
			continue
		case s.Registry != "":
			return s.Registry, nil
		}
		break
	}
	return said.Registries[name].Index, nil
}

// download returns where the file of a version is.
func (c *cratesConfig) download(name, version string) (string, error) {
	if !strings.ContainsRune(c.dl, '{') {
		return c.dl + "/" + name + "/" + version + "/download", nil
	}
	if strings.Contains(c.dl, "{sha256-checksum}") {
		return "", errors.New("the index of crates names downloads by their checksum, which cbuild does not do yet")
	}
	lower := strings.ToLower(name)
	return strings.NewReplacer(
		"{crate}", name, "{version}", version, "{prefix}", cratePrefix(name), "{lowerprefix}", cratePrefix(lower),
	).Replace(c.dl), nil
}

// cratePrefix is the directory of a crate in the index.
func cratePrefix(name string) string {
	switch len(name) {
	case 1, 2:
		return fmt.Sprint(len(name))
	case 3:
		return "3/" + name[:1]
	}
	return name[:2] + "/" + name[2:4]
}

// maxCrate is the greatest size of what the index has about a crate. The largest have a few megabytes.
const maxCrate = 64 << 20

// index returns what the index has about a crate: a line for each version.
func (c *Crates) index(ctx context.Context, name string) ([]byte, error) {
	config, err := c.configuration(ctx)
	if err != nil {
		return nil, err
	}
	lower := strings.ToLower(name)
	var body []byte
	err = Try(ctx, []Mirror{{URL: config.index + "/" + cratePrefix(lower) + "/" + lower}}, func(address string) error {
		body, err = c.cache.get(ctx, c.opts.Client, download.Request{URL: address, Max: maxCrate, Local: true})
		return err
	})
	return body, err
}

// A crateVersion is what is read of a line of the index.
type crateVersion struct {
	Name, Vers, Cksum string
	Yanked            bool

	parsed    *semver.Version
	downloads engine.Value // nil if it is not known
}

// parseCrate reads what the index has about a crate, ascending. Lines that say nothing of use are left out, as cargo does: they may be
// meant for later versions of it.
func parseCrate(body []byte, name string) (all []crateVersion, err error) {
	for line := range bytes.Lines(body) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var v crateVersion
		if json.Unmarshal(line, &v) != nil || !strings.EqualFold(v.Name, name) || !crateName.MatchString(v.Name) || !isSHA256(v.Cksum) {
			continue
		}
		if v.parsed, err = semver.StrictNewVersion(v.Vers); err == nil && len(v.Vers) <= 256 {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("what the index has about %s is no list of versions", name)
	}
	slices.SortStableFunc(all, func(a, b crateVersion) int {
		if c := a.parsed.Compare(b.parsed); c != 0 {
			return c
		}
		return strings.Compare(a.Vers, b.Vers)
	})
	return slices.CompactFunc(all, func(a, b crateVersion) bool { return a.Vers == b.Vers }), nil
}

func (v crateVersion) item() engine.Item {
	return engine.Item{Key: v.Name + "-" + v.Vers, Value: engine.Object{
		"name": v.Name, "version": v.Vers, "url": crateAddress(v.Name, v.Vers), "sha256": v.Cksum, "yanked": v.Yanked, "downloads": v.downloads,
	}}
}
