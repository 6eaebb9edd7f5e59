package registry_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"cbuild/engine"
	"cbuild/rules/download"
	"cbuild/rules/registry"
	"cbuild/rules/registry/fakes"
)

// A universe is fake registries, and the machine that is configured to use them.
type universe struct {
	*fakes.World
	base    string
	client  *download.Client
	machine registry.Machine
	files   map[string]string // of the machine, by name
}

// newUniverse returns one whose environment has env on top of what the world says.
func newUniverse(t *testing.T, env ...string) *universe {
	t.Helper()
	w := fakes.New()
	srv := w.Serve()
	t.Cleanup(srv.Close)
	u := &universe{World: w, base: srv.URL, client: download.New(download.Options{}), files: map[string]string{}}
	t.Cleanup(u.client.Close)
	u.machine = registry.Machine{
		Env: lookup(append(append(w.Env(srv.URL), "HOME=/home/user"), env...)), Workspace: "/ws",
		ReadFile: func(name string) ([]byte, error) {
			if text, ok := u.files[name]; ok {
				return []byte(text), nil
			}
			return nil, os.ErrNotExist
		},
		Glob: func(pattern string) (names []string, err error) {
			for name := range u.files {
				if ok, _ := filepath.Match(pattern, name); ok {
					names = append(names, name)
				}
			}
			slices.Sort(names)
			return names, nil
		},
	}
	return u
}

func (u *universe) options() registry.Options {
	return registry.Options{Client: u.client, Machine: u.machine}
}

// collect returns the items of all starts by key, what pages noted, and the first error.
func collect(ctx context.Context, reg registry.Registry, args engine.Object) (items map[string]engine.Object, notes []string, first error) {
	starts, err := reg.Starts(args)
	if err != nil {
		return nil, nil, err
	}
	items = map[string]engine.Object{}
	for _, s := range starts {
		for page, err := range s.Pages(ctx) {
			if err != nil && first == nil {
				first = err
			}
			if page.Note != "" {
				notes = append(notes, page.Note)
			}
			for _, item := range page.Items {
				items[item.Key] = item.Value.(engine.Object)
			}
		}
	}
	return items, notes, first
}

func list(words ...string) []engine.Value {
	all := make([]engine.Value, len(words))
	for i, w := range words {
		all[i] = w
	}
	return all
}

func keys(items map[string]engine.Object) []string { return slices.Sorted(maps.Keys(items)) }

// wantKeys fails the test unless the items are those.
func wantKeys(t *testing.T, items map[string]engine.Object, err error, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := keys(items); err != nil || !slices.Equal(got, want) {
		t.Errorf("items %q, %v; want %q", got, err, want)
	}
}

// Every registry's items have the fields that it says, all of them, and no others.
func checkFields(t *testing.T, reg registry.Registry, items map[string]engine.Object) {
	t.Helper()
	for key, item := range items {
		if got := slices.Sorted(maps.Keys(item)); !slices.Equal(got, reg.Fields()) {
			t.Errorf("item %s has the fields %q, want %q", key, got, reg.Fields())
		}
	}
}
