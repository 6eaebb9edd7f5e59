package registry

import (
	"bytes"
	"strings"
	"testing"
)

var controlSeeds = []string{
	"", "\n\n", "Package: a\nVersion: 1\nFilename: pool/a.deb\nSize: 1\nSHA256: 0000000000000000000000000000000000000000000000000000000000000000\n\n",
	"Package: a\n continued\n.\n", " x\nPackage:a", "Package: a\nFilename: ../../etc/passwd\n", "no field\n", "#c\nPackage: a\r\nVersion: 1\t\n",
	"Acquire-By-Hash: yes\nSHA256:\n 0000000000000000000000000000000000000000000000000000000000000000 12 main/binary-amd64/Packages\n x y z\n 00 -1 ../x\n",
}

// Whatever an index says, what comes of it are packages with an address in the archive and a digest.
func FuzzPackages(f *testing.F) {
	for _, s := range controlSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for item, err := range packages(bytes.NewReader(text), "") {
			if err != nil {
				return
			}
			value := item.Value.(map[string]any)
			place, ok := strings.CutPrefix(value["url"].(string), "debian:")
			if !ok || !cleanPath("/"+place) || !isSHA256(value["sha256"].(string)) || item.Key != value["name"].(string)+"_"+value["version"].(string) {
				t.Errorf("item %v", item)
			}
		}
	})
}

// Whatever a release says, its files lie beneath it.
func FuzzRelease(f *testing.F) {
	for _, s := range controlSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parseRelease(text)
		if err != nil {
			return
		}
		for name, file := range r.files {
			if !cleanPath("/"+name) || !isSHA256(file.sha256) || file.size < 0 {
				t.Errorf("file %q %v", name, file)
			}
		}
		d := NewDebian(Options{Machine: Machine{Glob: func(string) ([]string, error) { return nil, nil }}})
		_, _ = d.open(text, "https://archive.example")
	})
}

// Whatever stands in apt's files, what comes of it are addresses.
func FuzzSources(f *testing.F) {
	for _, s := range []string{"deb [signed-by=/k] https://a.example/debian stable main\n", "deb-src x y\ndeb ]\ndeb\n", "Types: deb\nURIs: https://a.example\nSuites: stable\nSigned-By:\n -----BEGIN PGP\n .\n x\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range append(parseSourcesList(text), parseSources(text)...) {
			if _, err := base("", s.base); err != nil {
				t.Errorf("%q: %v", s.base, err)
			}
		}
	})
}

// An index that goes on and on is noticed where it should end.
func TestIndexThatIsLongerThanTheReleaseSays(t *testing.T) {
	text := bytes.Repeat([]byte("Package: a\n\n"), 1000)
	x, err := unpacked(text, "", releaseFile{sha256: strings.Repeat("0", 64), size: 100}, "Packages")
	if err != nil {
		t.Fatal(err)
	}
	for range packages(x, "") { //nolint:revive // only read
	}
	if err := x.check(); err == nil || x.bytes > 200 {
		t.Errorf("error %v after %d bytes", err, x.bytes)
	}
}
