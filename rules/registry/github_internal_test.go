package registry

import (
	"strings"
	"testing"
)

// Whatever a server says of releases, their files have addresses beneath the repository.
func FuzzReleases(f *testing.F) {
	for _, s := range []string{`[]`, `{}`, `[{"tag_name":"v1","published_at":"x","assets":[{"name":"../a","size":-1},{"name":"a b","digest":"sha256:x"}]},{"tag_name":"../../x"}]`, `[{"tag_name":"v%2e?#","assets":null}]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		items, err := parseReleases(body, "o/r", "")
		if err != nil {
			return
		}
		for _, item := range items {
			value := item.Value.(map[string]any)
			addresses := []string{value["url"].(string)}
			for _, a := range value["assets"].(map[string]any) {
				addresses = append(addresses, a.(map[string]any)["url"].(string))
			}
			for _, a := range addresses {
				if !strings.HasPrefix(a, "github-releases:o/r/") || strings.Contains(a, "/../") || strings.ContainsAny(a, "?# \n") {
					t.Errorf("address %q", a)
				}
			}
		}
	})
}

func FuzzGoIndex(f *testing.F) {
	for _, s := range []string{"", "\n", `{"Path":"a.b/c","Version":"v1.0.0","Timestamp":"2019-04-10T19:08:52.997264Z"}` + "\n", `{"Timestamp":"x"}`, "[]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		lines, err := parseIndex(body)
		if err != nil {
			return
		}
		for _, l := range lines {
			if l.valid() {
				if _, _, err := parseGoAddress(l.item().Value.(map[string]any)["url"].(string)); err != nil {
					t.Errorf("%v: %v", l, err)
				}
			}
		}
	})
}
