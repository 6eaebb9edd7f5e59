package registry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"

	"cbuild/engine"
	"cbuild/rules/download"
	"cbuild/rules/registry"
)

// Fonts is a registry of fonts: GET BASE/NAME answers [{"version":…, "file":…, "sha256":…}], and BASE/NAME/FILE is a file. FONTS_URL is BASE.
type Fonts struct{ opts registry.Options }

func (*Fonts) Fields() []string { return []string{"name", "sha256", "url", "version"} }

// Starts returns a start for each font: it is pinned on its own, so that one more font is one more question.
func (f *Fonts) Starts(args engine.Object) ([]registry.Start, error) {
	names, ok := args["fonts"].([]engine.Value)
	if !ok {
		return nil, errors.New("fonts: want a list of names")
	}
	var starts []registry.Start
	for _, v := range names {
		name, ok := v.(string)
		if !ok || name == "" || strings.ContainsAny(name, "/?#") {
			return nil, fmt.Errorf("fonts: %v is no name", v)
		}
		request := "fonts:" + name // no host: it stands in the lock file
		starts = append(starts, registry.Start{Request: request, Pages: func(ctx context.Context) iter.Seq2[registry.Page, error] {
			return func(yield func(registry.Page, error) bool) {
				items, err := f.font(ctx, name)
				yield(registry.Page{Request: request, Items: items}, err)
			}
		}})
	}
	return starts, nil
}

// font asks for the versions of a font. What is not there is an item without version and url, not an error; trouble is one.
func (f *Fonts) font(ctx context.Context, name string) ([]engine.Item, error) {
	body, err := f.opts.Client.Bytes(ctx, download.Request{URL: f.base() + "/" + name, Max: 1 << 20})
	if download.Status(err) == http.StatusNotFound {
		return []engine.Item{{Key: name, Value: engine.Object{"name": name, "version": nil, "url": nil, "sha256": nil}}}, nil
	}
	if err != nil {
		return nil, err
	}
	var versions []struct{ Version, File, SHA256 string }
	if err := json.Unmarshal(body, &versions); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var items []engine.Item
	for _, v := range versions {
		if strings.Contains(v.File, "/") {
			continue // what strangers say is checked before it becomes an address
		}
		items = append(items, engine.Item{Key: name + "@" + v.Version, Value: engine.Object{
			"name": name, "version": v.Version, "sha256": v.SHA256, "url": "fonts:" + name + "/" + v.File,
		}})
	}
	return items, nil
}

// Mirrors makes Fonts a Resolver: it says where what an address names may be had, when it is downloaded.
func (f *Fonts) Mirrors(_ context.Context, address string) ([]registry.Mirror, error) {
	path, ok := strings.CutPrefix(address, "fonts:")
	if !ok || strings.Count(path, "/") != 1 || strings.Contains(path, "..") {
		return nil, &engine.InvalidError{Err: fmt.Errorf("%q: want fonts:NAME/FILE", address)}
	}
	return []registry.Mirror{{URL: f.base() + "/" + path}}, nil
}

// base is where the machine is configured to look. It may be a host near by: the user named it.
func (f *Fonts) base() string {
	address, _ := f.opts.Machine.Env("FONTS_URL")
	f.opts.Client.Declare(address)
	return strings.TrimSuffix(address, "/")
}

func Example() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/plex" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, `[{"version":"1.0","file":"plex-1.0.ttf","sha256":"00"},{"version":"1.1","file":"plex-1.1.ttf","sha256":"11"}]`)
	}))
	defer server.Close()
	fonts := &Fonts{registry.Options{
		Client:  download.New(download.Options{}),
		Machine: registry.Machine{Env: func(string) (string, bool) { return server.URL, true }},
	}}
	starts, err := fonts.Starts(engine.Object{"fonts": []engine.Value{"plex", "none"}})
	fmt.Println(err)
	for _, start := range starts {
		for page, err := range start.Pages(context.Background()) {
			for _, item := range page.Items {
				fmt.Println(item.Key, item.Value.(engine.Object)["url"], err)
			}
		}
	}
	mirrors, err := fonts.Mirrors(context.Background(), "fonts:plex/plex-1.1.ttf")
	fmt.Println(strings.TrimPrefix(mirrors[0].URL, server.URL), err)
	// Output:
	// <nil>
	// plex@1.0 fonts:plex/plex-1.0.ttf <nil>
	// plex@1.1 fonts:plex/plex-1.1.ttf <nil>
	// none <nil> <nil>
	// /plex/plex-1.1.ttf <nil>
}
