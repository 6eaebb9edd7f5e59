package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"cbuild/rules/download"

	"golang.org/x/mod/module"
)

// goVariables configure the go command's use of the network.
var goVariables = []string{"GOPROXY", "GOSUMDB", "GOPRIVATE", "GONOPROXY", "GONOSUMDB"}

// A goConfig is where modules and their checksums come from.
type goConfig struct {
	proxies          []Mirror // URL is the base
	noProxy, noSumDB string   // globs of module path prefixes
	sumDB            string
	fileOnly         bool // the only proxy is a directory
}

// GoCommand is GoOptions.GoEnv by means of the go command in PATH.
func GoCommand(ctx context.Context, names []string) (map[string]string, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"env", "-json"}, names...)...)
	// Outside of every module, and without another toolchain: the answer must not depend on where cbuild was started, nor be
	// the reason for a download.
	cmd.Dir = os.TempDir()
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN=local", "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return nil, fmt.Errorf("go env: %w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return nil, fmt.Errorf("go env: %w", err)
	}
	var values map[string]string
	if err := json.Unmarshal(out, &values); err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	return values, nil
}

// configuration returns what the environment says, asking the go command for the rest.
func (g *Go) configuration(ctx context.Context) (*goConfig, error) {
	return g.config.get(g.opts.Client, func() (*goConfig, error) { return g.read(ctx) })
}

func (g *Go) read(ctx context.Context) (*goConfig, error) {
	values := map[string]string{}
	for _, name := range goVariables {
		if v, ok := g.opts.Env(name); ok && v != "" {
			values[name] = v
		}
	}
	if err := g.askGo(ctx, values); err != nil {
		return nil, err
	}
	c, err := newGoConfig(values)
	if err != nil {
		return nil, err
	}
	for _, p := range c.proxies {
		g.opts.Client.Declare(p.URL)
	}
	if fields := strings.Fields(c.sumDB); len(fields) == 2 {
		g.opts.Client.Declare(fields[1])
	}
	return c, nil
}

// askGo adds to values what the environment left open. Without a go command GOPROXY is all that must be known.
func (g *Go) askGo(ctx context.Context, values map[string]string) error {
	if len(values) == len(goVariables) {
		return nil
	}
	more, err := map[string]string(nil), errors.New("no go command")
	if g.opts.GoEnv != nil {
		more, err = g.opts.GoEnv(ctx, goVariables)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && values["GOPROXY"] == "" {
		return fmt.Errorf("where are Go modules? Set GOPROXY, or install Go: %w", err)
	}
	for _, name := range goVariables {
		values[name] = cmp.Or(values[name], more[name])
	}
	return nil
}

// newGoConfig reads the variables as the go command does.
func newGoConfig(values map[string]string) (*goConfig, error) {
	c := &goConfig{
		noProxy: cmp.Or(values["GONOPROXY"], values["GOPRIVATE"]),
		noSumDB: cmp.Or(values["GONOSUMDB"], values["GOPRIVATE"]),
		sumDB:   cmp.Or(values["GOSUMDB"], defaultSumDB),
	}
	proxies, err := parseProxies(values["GOPROXY"])
	if err != nil {
		return nil, err
	}
	c.proxies = proxies
	c.fileOnly = len(proxies) == 1 && strings.HasPrefix(proxies[0].URL, "file://")
	return c, nil
}

var (
	errDirect = errors.New("it would have to come from its own repository (GOPROXY=direct, GONOPROXY or GOPRIVATE), which cbuild does not do yet: name a module proxy in GOPROXY")
	errOff    = errors.New("module lookup is disabled by GOPROXY=off")
)

// parseProxies reads the value of GOPROXY. After "," the next place is asked only where one does not have something, after "|" also on
// any other error; "direct" and "off" end the list.
func parseProxies(list string) ([]Mirror, error) {
	var proxies []Mirror
	for rest := list; rest != ""; {
		var m Mirror
		end := strings.IndexAny(rest, ",|")
		if end < 0 {
			m.URL, rest = rest, ""
		} else {
			m.URL, m.Any, rest = rest[:end], rest[end] == '|', rest[end+1:]
		}
		m.URL = strings.TrimSuffix(strings.TrimSpace(m.URL), "/")
		switch {
		case m.URL == "":
			continue
		case m.URL == "off":
			return append(proxies, Mirror{Stop: errOff}), nil
		case m.URL == "direct":
			return append(proxies, Mirror{Stop: errDirect}), nil
		case filepath.IsAbs(m.URL):
			return nil, fmt.Errorf("GOPROXY: %q: write file://%s", m.URL, m.URL)
		case strings.ContainsAny(m.URL, ".:/") && !strings.Contains(m.URL, ":/"):
			m.URL = "https://" + m.URL
		}
		if err := checkProxy(m.URL); err != nil {
			return nil, err
		}
		proxies = append(proxies, m)
	}
	if len(proxies) == 0 {
		return nil, errors.New("GOPROXY names no proxy")
	}
	return proxies, nil
}

func checkProxy(url string) error {
	for _, scheme := range []string{"http://", "https://", "file:///"} {
		if strings.HasPrefix(url, scheme) {
			return nil
		}
	}
	return fmt.Errorf("GOPROXY: %q is not an http, https or file address", url)
}

// mirrors returns where suffix of the module may be had.
func (g *Go) mirrors(ctx context.Context, path, suffix string) ([]Mirror, error) {
	c, err := g.configuration(ctx)
	if err != nil {
		return nil, err
	}
	if module.MatchPrefixPatterns(c.noProxy, path) {
		return []Mirror{{Stop: errDirect}}, nil
	}
	escaped, err := module.EscapePath(path)
	if err != nil {
		return nil, err
	}
	mirrors := make([]Mirror, len(c.proxies))
	for i, p := range c.proxies {
		mirrors[i] = p
		if p.Stop == nil {
			mirrors[i].URL += "/" + escaped + suffix
		}
	}
	return mirrors, nil
}

// get returns a small file of the module from the first proxy that has it.
func (g *Go) get(ctx context.Context, path, suffix string) (body []byte, err error) {
	mirrors, err := g.mirrors(ctx, path, suffix)
	if err != nil {
		return nil, err
	}
	err = Try(ctx, mirrors, func(url string) error {
		body, err = g.fetch(ctx, url)
		return err
	})
	return body, err
}

// maxAnswer is the greatest size of an answer of a proxy that is not a zip file, 16 MiB as for the go command's go.mod files.
const maxAnswer = 16 << 20

func (g *Go) fetch(ctx context.Context, url string) ([]byte, error) {
	return g.opts.Client.Bytes(ctx, download.Request{URL: url, Max: maxAnswer, Local: true})
}

// escapeVersion is module.EscapeVersion of a version that was checked before.
func escapeVersion(version string) string {
	v, err := module.EscapeVersion(version)
	if err != nil {
		return "invalid"
	}
	return v
}
