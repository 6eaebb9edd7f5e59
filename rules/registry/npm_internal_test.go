package registry

import (
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"
)

// Whatever a registry answers, what comes of it are versions of the package that was asked for, with addresses and digests that are some.
func FuzzPackument(f *testing.F) {
	for _, s := range []string{
		`{}`, `[]`, `{"name":"one","versions":{"1.0.0":{"name":"one","version":"1.0.0","dist":{"tarball":"https://r.example/one/-/one-1.0.0.tgz","integrity":"sha512-x"}}}}`,
		`{"name":"one","dist-tags":{"latest":"1.0.0"},"time":{"1.0.0":"yesterday"},"versions":{"1.0.0":{"name":"two","version":"1.0.0"},"v1":{},"../x":{"name":"one","version":"../x"}}}`,
		`{"name":"one","versions":{"1.0.0":{"name":"one","version":"1.0.0","deprecated":true,"dist":{"tarball":"file:///etc/passwd"}}}}`,
		`{"name":"one","versions":{"1.0.0":{"name":"one","version":"1.0.0","dist":{"tarball":"https://mirror.example/npm/../../x.tgz?a=b"}}}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := parsePackument(body, "one")
		if err != nil {
			return
		}
		for _, versions := range []string{"all", "latest", "^1", "*"} {
			pick, err := parseNPMPick(versions)
			if err != nil {
				t.Fatal(err)
			}
			pick.many = versions == "all" || versions == "*"
			items := p.items(pick, "https://mirror.example/npm")
			if !pick.many && len(items) > 1 {
				t.Errorf("%s: %d items", versions, len(items))
			}
			for _, item := range items {
				value := item.Value.(map[string]any)
				if _, err := semver.StrictNewVersion(value["version"].(string)); err != nil || value["name"] != "one" || item.Key != "one@"+value["version"].(string) {
					t.Errorf("item %v", item)
				}
				address, _ := value["url"].(string)
				if address != "" && !strings.HasPrefix(address, "http://") && !strings.HasPrefix(address, "https://") && !strings.HasPrefix(address, "npm:one@") || strings.Contains(address, "mirror.example/npm/one") {
					t.Errorf("address %q", address)
				}
			}
		}
	})
}

// Whatever stands in a .npmrc, nothing is sent to a host that it does not name.
func FuzzNPMRC(f *testing.F) {
	for _, s := range []string{"registry=https://r.example\n//r.example/:_authToken=${TOKEN}\n", "a=b=c\n=\n;x\n[section]\n", "//r.example/:username=u\n//r.example/:_password=cA==\n", "x=${A}${B?}\"\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		env := func(name string) (string, bool) { return "value", name == "TOKEN" }
		for prefix := range npmLogins(parseNPMRC(text, env)) {
			if !strings.Contains(text, prefix) && !strings.Contains(text, "${TOKEN}") {
				t.Errorf("a login for %q", prefix)
			}
		}
	})
}

// Nothing of where the registry is gets into an item: what lies on its host has an address relative to it.
func TestArchivesNameNoMirror(t *testing.T) {
	const base = "https://mirror.example/npm"
	for tarball, want := range map[string]any{
		"https://mirror.example/npm/one/-/one-1.0.0.tgz":   "npm:one@1.0.0.tgz",
		"https://original.example/one/-/one-1.0.0.tgz":     "npm:one@1.0.0.tgz",
		"https://mirror.example/npm/files/x.tgz":           "npm:one@1.0.0.tgz?at=%2Ffiles%2Fx.tgz",
		"https://mirror.example/npmfiles/x.tgz":            "npm:one@1.0.0.tgz?host=%2Fnpmfiles%2Fx.tgz",
		"https://mirror.example/files/x.tgz":               "npm:one@1.0.0.tgz?host=%2Ffiles%2Fx.tgz",
		"https://files.example/x.tgz":                      "https://files.example/x.tgz",
		"https://me:secret@mirror.example/npm/files/x.tgz": nil,
		"file:///etc/passwd":                               nil,
	} {
		v := npmVersion{Name: "one", Version: "1.0.0"}
		v.Dist.Tarball = tarball
		if got := v.address(base); got != want {
			t.Errorf("%s: %v, want %v", tarball, got, want)
		}
	}
}
