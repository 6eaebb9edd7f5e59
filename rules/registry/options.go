package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cbuild/rules/download"
)

// Options say what registries work with.
type Options struct {
	Client *download.Client
	// Machine is where the ecosystems keep their configuration.
	Machine Machine
	// CacheDir keeps what was asked for from one build to the next; "" keeps nothing.
	CacheDir string
}

// A Machine gives access to the configuration of other programs: where their registries are, and how they are asked. Nothing else is
// read of it, and nothing before the first request.
type Machine struct {
	// Env looks up a variable of the environment.
	Env func(name string) (string, bool)
	// ReadFile reads a file, and Glob finds files, by absolute names; nil means those of the file system.
	ReadFile func(name string) ([]byte, error)
	Glob     func(pattern string) ([]string, error)
	// Run returns what a program prints; nil means that there are no programs.
	Run func(ctx context.Context, name string, args ...string) ([]byte, error)
	// Workspace is the root of the workspace, where projects keep configuration of their own; "" for none.
	Workspace string
}

// Run is Machine.Run by means of the programs in PATH. They run outside of every project: the answer must not depend on where cbuild
// was started.
func Run(ctx context.Context, name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = os.TempDir()
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(exit.Stderr)))
	}
	return out, err
}

// maxConfig is how long a file of configuration may be.
const maxConfig = 1 << 20

// read returns the text of a file of configuration, "" if there is none. One that can't be read is a mistake: what it says would be
// ignored in silence.
func (m Machine) read(name string) (string, error) {
	read := m.ReadFile
	if read == nil {
		read = os.ReadFile
	}
	data, err := read(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	case len(data) > maxConfig:
		return "", fmt.Errorf("%s: more than %d bytes", name, maxConfig)
	}
	return string(data), nil
}

func (m Machine) glob(pattern string) ([]string, error) {
	if m.Glob != nil {
		return m.Glob(pattern)
	}
	return filepath.Glob(pattern)
}

// env returns the first of the variables that is set and not empty.
func (m Machine) env(names ...string) string {
	for _, name := range names {
		if m.Env == nil {
			break
		}
		if v, ok := m.Env(name); ok && v != "" {
			return v
		}
	}
	return ""
}

// home returns the name of a file in the home directory, "" if there is none.
func (m Machine) home(elem ...string) string {
	dir := m.env("HOME")
	if dir == "" {
		return ""
	}
	return filepath.Join(append([]string{dir}, elem...)...)
}

// All returns the known registries by name. They ask nothing yet.
func All(o Options) map[string]Registry {
	goRegistry := GoOptions{Client: o.Client, Env: o.Machine.Env}
	if o.CacheDir != "" {
		goRegistry.CacheDir = filepath.Join(o.CacheDir, "sumdb")
	}
	if o.Machine.Run != nil {
		goRegistry.GoEnv = GoCommand
	}
	return map[string]Registry{
		"go":        NewGo(goRegistry),
		"npm":       NewNPM(o),
		"debian":    NewDebian(o),
		"crates.io": NewCrates(o),
		"pypi":      NewPyPI(o),

		"github-releases": NewGitHub(o),
	}
}

// dir is a directory of the cache, "" if nothing is kept.
func (o Options) dir(name string) string {
	if o.CacheDir == "" {
		return ""
	}
	return filepath.Join(o.CacheDir, "registries", name)
}

// Names are those of the known registries, sorted.
func Names() []string { return slices.Sorted(maps.Keys(All(Options{}))) }

// base checks the address of a registry that configuration names, and returns it without a final slash. Source says where it stands.
func base(source, address string) (string, error) {
	address = strings.TrimRight(strings.TrimSpace(address), "/")
	if !strings.HasPrefix(address, "http://") && !strings.HasPrefix(address, "https://") && !strings.HasPrefix(address, "file:///") {
		return "", fmt.Errorf("%s: %q is not an http, https or file address", source, address)
	}
	return address, nil
}
