package registry

import (
	"slices"
	"testing"

	"golang.org/x/mod/semver"
)

// Whatever a proxy answers, what comes of its list are versions, in order, each once.
func FuzzParseList(f *testing.F) {
	for _, s := range []string{"", "v1.0.0\nv1.2.0\n", "v1.0.0 2024-01-01T00:00:00Z\n", "v1.0.0\r\nv2.0.0+incompatible\n", "v0.0.0-20240101000000-abcdefabcdef", "../x\nv1\nv1.0.0/../x\nv1.0.0+meta\n\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		list := parseList(body)
		for i, v := range list {
			if !validVersion(v) || escapeVersion(v) == "invalid" {
				t.Errorf("version %q", v)
			}
			if i > 0 && (semver.Compare(list[i-1], v) > 0 || list[i-1] == v) {
				t.Errorf("%q before %q", list[i-1], v)
			}
		}
		order := preferred(list)
		if slices.Sort(order); !slices.Equal(order, slices.Sorted(slices.Values(list))) {
			t.Errorf("preferred lost something of %q", list)
		}
	})
}

func FuzzParseInfo(f *testing.F) {
	f.Add([]byte(`{"Version":"v1.0.0","Time":"2024-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"Version":"../x"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if v, err := parseInfo(body); err == nil && !validVersion(v.version) {
			t.Errorf("version %q", v.version)
		}
	})
}

func TestParseProxies(t *testing.T) {
	for list, want := range map[string][]Mirror{
		"https://a.example":                          {{URL: "https://a.example"}},
		" https://a.example/ , http://b.example/x/":  {{URL: "https://a.example"}, {URL: "http://b.example/x"}},
		"https://a.example|https://b.example,direct": {{URL: "https://a.example", Any: true}, {URL: "https://b.example"}, {Stop: errDirect}},
		"a.example,off,https://b.example":            {{URL: "https://a.example"}, {Stop: errOff}},
		"file:///a/b":                                {{URL: "file:///a/b"}},
		"direct":                                     {{Stop: errDirect}},
		"":                                           nil,
		",":                                          nil,
		"/a/b":                                       nil,
		"ftp://a.example":                            nil,
		"word":                                       nil,
	} {
		got, err := parseProxies(list)
		if !slices.Equal(got, want) || (err != nil) != (want == nil) {
			t.Errorf("parseProxies(%q) = %v, %v; want %v", list, got, err, want)
		}
	}
}

func TestParseSumDB(t *testing.T) {
	for value, want := range map[string]string{
		"sum.golang.org":                         "sum.golang.org",
		"sum.golang.google.cn":                   "sum.golang.org https://sum.golang.google.cn",
		"sum.golang.org https://sums.example/x/": "sum.golang.org https://sums.example/x",
		"":                                       "",
		"sums.example":                           "",
		"a b c":                                  "",
	} {
		db, err := parseSumDB(value)
		got := ""
		if err == nil {
			got = db.name
			if db.base != "" {
				got += " " + db.base
			}
		}
		if got != want {
			t.Errorf("parseSumDB(%q) = %q, %v; want %q", value, got, err, want)
		}
	}
}
