package registry

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"cbuild/rules/download"
)

// An npmConfig is where packages come from.
type npmConfig struct {
	common string            // the registry of what has none of its own
	scopes map[string]string // registries by scope, as in "@corp"
}

// registry returns the address of the registry that has the package name.
func (c *npmConfig) registry(name string) string {
	scope, _, _ := strings.Cut(name, "/")
	if r := c.scopes[scope]; r != "" {
		return r
	}
	return c.common
}

// configuration reads what npm would read: the environment, the .npmrc of the workspace, that of the user, and what npm says itself
// where they leave open which registry it is.
func (n *NPM) configuration(ctx context.Context) (*npmConfig, error) {
	return n.config.get(n.opts.Client, func() (*npmConfig, error) { return n.read(ctx) })
}

func (n *NPM) read(ctx context.Context) (*npmConfig, error) {
	settings, err := n.settings(ctx)
	if err != nil {
		return nil, err
	}
	c := &npmConfig{scopes: map[string]string{}}
	if c.common, err = base("npm's registry", settings["registry"]); err != nil {
		return nil, err
	}
	for name, value := range settings {
		if scope, ok := strings.CutSuffix(name, ":registry"); ok && strings.HasPrefix(scope, "@") {
			if c.scopes[scope], err = base("npm's "+name, value); err != nil {
				return nil, err
			}
		}
	}
	n.opts.Client.Declare(c.common)
	for _, address := range c.scopes {
		n.opts.Client.Declare(address)
	}
	for prefix, value := range npmLogins(settings) {
		n.opts.Client.Authorize(prefix, value)
	}
	return c, nil
}

// settings returns what is configured, by name.
func (n *NPM) settings(ctx context.Context) (map[string]string, error) {
	all := map[string]string{}
	for _, name := range n.configFiles() {
		text, err := n.opts.Machine.read(name)
		if err != nil {
			return nil, fmt.Errorf("npm's configuration: %w", err)
		}
		for key, value := range parseNPMRC(text, n.opts.Machine.Env) {
			all[key] = value
		}
	}
	if r := n.opts.Machine.env("npm_config_registry", "NPM_CONFIG_REGISTRY"); r != "" {
		all["registry"] = r
	}
	if all["registry"] != "" {
		return all, nil
	}
	if n.opts.Machine.Run == nil {
		return nil, errNoNPM
	}
	out, err := n.opts.Machine.Run(ctx, "npm", "config", "list", "--json")
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var said map[string]any
	if err == nil {
		err = json.Unmarshal(out, &said)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoNPM, err)
	}
	for key, value := range said {
		if s, ok := value.(string); ok && all[key] == "" && (key == "registry" || strings.HasSuffix(key, ":registry")) {
			all[key] = s
		}
	}
	return all, nil
}

// configFiles are the names of the files of configuration, those that count more behind the others.
func (n *NPM) configFiles() (names []string) {
	m := n.opts.Machine
	user := m.env("npm_config_userconfig", "NPM_CONFIG_USERCONFIG")
	if user == "" {
		user = m.home(".npmrc")
	}
	for _, name := range []string{m.env("npm_config_globalconfig", "NPM_CONFIG_GLOBALCONFIG"), user} {
		if filepath.IsAbs(name) {
			names = append(names, name)
		}
	}
	if m.Workspace != "" {
		names = append(names, filepath.Join(m.Workspace, ".npmrc"))
	}
	return names
}

var npmVariable = regexp.MustCompile(`\$\{([^${}]+)\}`)

// parseNPMRC reads lines NAME = VALUE, where ${VAR} in a value stands for a variable of the environment, ${VAR?} for one that may be
// missing. A line with a variable that is not there says nothing.
func parseNPMRC(text string, env func(string) (string, bool)) map[string]string {
	all := map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, maxConfig+1)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.ContainsAny(line[:1], "#;[") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		known := true
		value = npmVariable.ReplaceAllStringFunc(unquoted(value), func(s string) string {
			variable, optional := strings.CutSuffix(s[2:len(s)-1], "?")
			v, ok := "", false
			if env != nil {
				v, ok = env(variable)
			}
			known = known && (ok || optional)
			return v
		})
		if known {
			all[strings.TrimSpace(name)] = value
		}
	}
	return all
}

func unquoted(s string) string {
	s = strings.TrimSpace(s)
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// npmLogins returns what to send as Authorization, by the host and path beneath which it is sent.
func npmLogins(settings map[string]string) map[string]string {
	all := map[string]string{}
	for name, value := range settings {
		at := strings.LastIndexByte(name, ':')
		if at < 0 || !strings.HasPrefix(name, "//") || value == "" {
			continue
		}
		prefix := name[2:at]
		switch name[at+1:] {
		case "_authToken":
			all[prefix] = "Bearer " + value
		case "_auth":
			if all[prefix] == "" {
				all[prefix] = "Basic " + value
			}
		case "username":
			password, err := base64.StdEncoding.DecodeString(settings["//"+prefix+":_password"])
			if err == nil && len(password) > 0 && all[prefix] == "" {
				all[prefix] = "Basic " + base64.StdEncoding.EncodeToString([]byte(value+":"+string(password)))
			}
		}
	}
	return all
}

// maxPackument is the greatest size of the document of a package. The largest are some tens of megabytes.
const maxPackument = 256 << 20

// get returns a document about the package name, and the address of the registry that has it.
func (n *NPM) get(ctx context.Context, name, suffix, accept string) (body []byte, base string, err error) {
	c, err := n.configuration(ctx)
	if err != nil {
		return nil, "", err
	}
	base = c.registry(name)
	m := []Mirror{{URL: base + "/" + strings.Replace(name, "/", "%2f", 1) + suffix}}
	err = Try(ctx, m, func(address string) error {
		body, err = n.opts.Client.Bytes(ctx, download.Request{URL: address, Headers: map[string]string{"Accept": accept}, Max: maxPackument})
		return err
	})
	return body, base, err
}
