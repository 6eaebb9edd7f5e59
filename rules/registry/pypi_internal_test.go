package registry

import (
	"strings"
	"testing"
)

// The order of PEP 440.
func TestPythonVersionsInOrder(t *testing.T) {
	order := strings.Fields("1.dev0 1.0.dev456 1.0a1 1.0a2.dev456 1.0a12.dev456 1.0a12 1.0b1.dev456 1.0b2 1.0b2.post345.dev456 1.0b2.post345 1.0rc1.dev456 1.0rc1 1.0 1.0+abc.5 1.0+abc.7 1.0+5 1.0.post456.dev34 1.0.post456 1.0.15 1.1.dev1 2012.4 1!1")
	for i, a := range order {
		for j, b := range order {
			v, ok := parsePyVersion(a)
			w, ok2 := parsePyVersion(b)
			if got, want := comparePy(v, w), compareInts(i, j); !ok || !ok2 || got != want {
				t.Errorf("%s against %s: %d, want %d", a, b, got, want)
			}
		}
	}
	for _, equal := range [][2]string{{"1.0", "1.0.0"}, {"v1.0-alpha.1", "1a1"}, {"1.0-1", "1.0.post1"}, {"1.0.REV2", "1.post2"}, {"1c3", "1.0rc3"}} {
		v, _ := parsePyVersion(equal[0])
		w, _ := parsePyVersion(equal[1])
		if comparePy(v, w) != 0 || v.key() != w.key() {
			t.Errorf("%s is not %s", equal[0], equal[1])
		}
	}
	for _, none := range []string{"", "x", "1.0-", "1..0", "1.0+", "1.0 2", strings.Repeat("1", 300)} {
		if _, ok := parsePyVersion(none); ok {
			t.Errorf("%q is a version", none)
		}
	}
}

func compareInts(a, b int) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestPythonSpecifiers(t *testing.T) {
	for _, c := range []struct{ spec, yes, no string }{
		{"~=2.2", "2.2 2.3 2.99.post1", "2.1 3.0 2.3rc1"},
		{"~=1.4.5", "1.4.5 1.4.9", "1.5 1.4.4"},
		{"==1.1.*", "1.1 1.1.post1 1.1.7", "1.10 1.2"},
		{"!=1.1", "1.1.post1 1.2", "1.1 1.1.0"},
		{"<1.1", "1.0 1.0.9", "1.1 1.1rc1"},
		{">1.7", "1.8 1.7.1", "1.7 1.7.post2 1.7.0"},
		{">1.7.post2", "1.7.post3", "1.7.post2 1.7"},
		{"===1.0", "1.0", "1.0.0"},
		{"==1.0", "1.0 1.0+local", "1.0.1"},
		{">=1, <2", "1.0 1.9", "0.9 2.0 2.0rc1"},
		{">=1.0rc1", "1.0rc1 1.0", "1.0b9"},
	} {
		r, err := parsePyRange(c.spec)
		if err != nil {
			t.Errorf("%s: %v", c.spec, err)
			continue
		}
		for want, words := range map[bool]string{true: c.yes, false: c.no} {
			for word := range strings.FieldsSeq(words) {
				v, ok := parsePyVersion(word)
				if got := r.allows(v); !ok || got != want {
					t.Errorf("%s allows %s: %v", c.spec, word, got)
				}
			}
		}
	}
	for _, none := range []string{"1.0", ">=x", "~=1", ">=1.*", ">=", "", ">=1,,<2"} {
		if _, err := parsePyRange(none); err == nil {
			t.Errorf("%q is a specifier", none)
		}
	}
}

// Whatever an index says, what comes of it are files of the package, at addresses, each once and in order.
func FuzzProject(f *testing.F) {
	for _, s := range []string{
		"{}", "[]", "<html>", `{"files":[{"filename":"a-1.0.tar.gz","url":"../../p/a-1.0.tar.gz","hashes":{"sha256":"x"},"yanked":"why"},{"filename":"a-1.0-py3-none-any.whl","url":"https://f.example/x"}]}`,
		`{"files":[{"filename":"../a-1.0.tar.gz","url":"x"},{"filename":"a-1.0.tar.gz","url":"file:///etc/passwd"},{"filename":"b-1.tar.gz","url":"//h"}]}`,
		`{"files":[{"filename":"a-1!2.0.post1-1.zip","url":"http://u:p@h/"},{"filename":"a-1.0.0.tar.gz","url":"#"}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		all, err := parseProject(body, "a", "https://index.example/simple/a/")
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for i, r := range all {
			if i > 0 && comparePy(all[i-1].version, r.version) > 0 {
				t.Errorf("%v before %v", all[i-1].version, r.version)
			}
			for _, file := range r.files {
				if !strings.HasPrefix(file.URL, "http") || strings.ContainsRune(file.Filename, '/') || seen[file.Filename] {
					t.Errorf("file %v", file)
				}
				seen[file.Filename] = true
			}
		}
	})
}
