package registry

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"cbuild/engine"

	"github.com/Masterminds/semver/v3"
)

// knownArgs refuses arguments that a registry does not take.
func knownArgs(registry string, args engine.Object, known ...string) error {
	for name := range args {
		if !slices.Contains(known, name) {
			return fmt.Errorf("unknown argument %q: the registry %s takes %s", name, registry, strings.Join(known, ", "))
		}
	}
	return nil
}

// texts returns the argument name, a string or a list of strings, none of them empty; nil if it is absent.
func texts(args engine.Object, name string) ([]string, error) {
	if s, ok := args[name].(string); ok && s != "" {
		return []string{s}, nil
	}
	if args[name] == nil {
		return nil, nil
	}
	list, ok := args[name].([]engine.Value)
	if !ok {
		return nil, fmt.Errorf("%s: want a string or a list of strings", name)
	}
	all := make([]string, len(list))
	for i, v := range list {
		if all[i], ok = v.(string); !ok || all[i] == "" {
			return nil, fmt.Errorf("%s[%d]: want a string that is not empty", name, i)
		}
	}
	return all, nil
}

// required is texts of an argument that must be there.
func required(args engine.Object, name string) ([]string, error) {
	all, err := texts(args, name)
	if err == nil && args[name] == nil {
		err = fmt.Errorf("%s is missing", name)
	}
	return all, err
}

// text returns the argument name, a string; "" if it is absent.
func text(args engine.Object, name string) (string, error) {
	s, ok := args[name].(string)
	if !ok && args[name] != nil {
		return "", fmt.Errorf("%s: want a string", name)
	}
	return s, nil
}

// absent is the item for what a registry does not have: the fields are null but for those that say what was asked.
func absent(key string, fields []string, said engine.Object) engine.Item {
	value := make(engine.Object, len(fields))
	for _, f := range fields {
		value[f] = said[f]
	}
	return engine.Item{Key: key, Value: value}
}

// once is a start of one page. Name is what errors begin with.
func once(request, name string, ask func(context.Context) ([]engine.Item, error)) Start {
	return Start{Request: request, Pages: func(ctx context.Context) iter.Seq2[Page, error] {
		return func(yield func(Page, error) bool) {
			items, err := ask(ctx)
			if err != nil {
				err = fmt.Errorf("%s: %w", name, err)
			}
			yield(Page{Request: request, Items: items}, err)
		}
	}}
}

// distinct leaves out the starts whose request came before.
func distinct(starts []Start) []Start {
	seen := make(map[string]bool, len(starts))
	return slices.DeleteFunc(starts, func(s Start) bool {
		again := seen[s.Request]
		seen[s.Request] = true
		return again
	})
}

// A version of a package as its registry writes it.
type version struct {
	text string
	*semver.Version
}

// semverVersions returns those of the texts that are full semantic versions, ascending, each once.
func semverVersions(texts []string) []version {
	var all []version
	for _, t := range texts {
		if v, err := semver.StrictNewVersion(t); err == nil && len(t) <= 256 {
			all = append(all, version{t, v})
		}
	}
	slices.SortFunc(all, func(a, b version) int {
		if c := a.Compare(b.Version); c != 0 {
			return c
		}
		return strings.Compare(a.text, b.text)
	})
	return slices.CompactFunc(all, func(a, b version) bool { return a.text == b.text })
}
