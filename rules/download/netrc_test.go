package download

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestNetrc(t *testing.T) {
	for text, want := range map[string][]login{
		"":  nil,
		"#": nil,
		"machine a.example login me password secret\n":                         {{"a.example", "me", "secret"}},
		"machine a.example\n\tlogin me\n\n\tpassword secret":                   {{"a.example", "me", "secret"}},
		"machine a.example password \"two words\" login me":                    {{"a.example", "me", "two words"}},
		"machine a login x machine b password y default login z":               {{"a", "x", ""}, {"b", "", "y"}, {"", "z", ""}},
		"# machine c\nmachine a account q login x password #1\n":               {{"a", "x", "#1"}},
		"machine a login x\nmacdef init\nmachine evil login y\n\npassword p\n": {{"a", "x", "p"}},
		"login nobody password nothing machine":                                nil,
		"machine a unknown login x":                                            {{"a", "x", ""}},
	} {
		if got := parseNetrc(text); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	name := filepath.Join(t.TempDir(), "netrc")
	if err := os.WriteFile(name, []byte("machine A.example login me password x\ndefault login all password y\nmachine late login z"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := &netrc{name: name}
	for host, want := range map[string]string{"a.example": "me", "b.example": "all", "late": "all"} {
		if l, ok := n.of(host); !ok || l.name != want {
			t.Errorf("%s: %v", host, l)
		}
	}
	if _, ok := (&netrc{name: name + "x"}).of("a.example"); ok {
		t.Error("a login of a file that is not there")
	}
}

func FuzzNetrc(f *testing.F) {
	for _, s := range []string{"", "machine a login b password c", "machine", "default", "macdef x\n\n", "machine \"a", "machine a\nmacdef m\nx\n\nlogin b", "#\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, l := range parseNetrc(text) {
			for _, word := range []string{l.host, l.name, l.password} {
				if !strings.Contains(text, word) {
					t.Errorf("%q is nowhere in %q", word, text)
				}
			}
		}
	})
}

func TestContentRange(t *testing.T) {
	for text, want := range map[string]contentRange{
		"bytes 0-0/1": {0, 0, 1}, "bytes 5-9/10": {5, 9, 10}, "bytes 5-9/*": {5, 9, -1}, "BYTES 5-9/10": {5, 9, 10}, "bytes */10": {-1, -1, 10}, " bytes 5-9/10 ": {5, 9, 10},
	} {
		if got, ok := parseContentRange(text); !ok || got != want {
			t.Errorf("%q: %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "bytes", "bytes ", "bytes 5-9", "bytes 9-5/10", "bytes 5-10/10", "bytes -1-5/10", "bytes 5-/10", "bytes */*", "lines 5-9/10", "bytes=5-9/10", "bytes 5-9/10x", "bytes 0x1-9/10", "bytes 1-99999999999999999999/*", "bytes +1-5/10"} {
		if got, ok := parseContentRange(text); ok {
			t.Errorf("%q is read as %v", text, got)
		}
	}
	for tag, want := range map[string]string{`"a"`: `"a"`, `""`: `""`, `W/"a"`: "", "": "", "a": "", `"`: ""} {
		if got := strong(tag); got != want {
			t.Errorf("strong(%q) = %q", tag, got)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-0/1", "bytes 5-9/*", "bytes */10", "bytes 9-5/10", "", "bytes -/", "bytes 18446744073709551615-1/2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, ok := parseContentRange(text)
		switch {
		case !ok:
		case r.first < 0 && (r.first != -1 || r.last != -1 || r.total < 0), r.first >= 0 && (r.last < r.first || r.total >= 0 && r.last >= r.total):
			t.Errorf("%q is read as %v", text, r)
		}
	})
}
