package buildfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func config(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), ConfigName)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLoadConfig(t *testing.T) {
	var got []string
	set := func(s Setting) error {
		got = append(got, s.Name+"="+s.Value)
		if s.Value == "bad" {
			return errors.New("want something good")
		}
		return nil
	}
	for text, want := range map[string]string{
		"":                                "",
		"a = 1\nb = \"x\"\n":              "a=1 b=x",
		"b = \"x y\" # why\na = 1.5\n":    "b=x y a=1.5",
		"a = true":                        "a=true",
		"a = [1]":                         "|Invalid a",
		"a = null":                        "|Invalid a",
		"a = \"bad\"":                     "a=bad|Invalid a",
		"a = 1\na = 2":                    "|Attribute redefined",
		"c = 1":                           "|Unknown setting \"c\"",
		"block {}":                        "|Unexpected block \"block\"",
		"a = var.x":                       "|Not a literal",
		"a = f(1)":                        "|Function calls not allowed",
		"a = \"${1 +}\"":                  "|Invalid expression",
		"a =":                             "|Missing expression",
		"\xff":                            "|is not UTF-8",
		"a = " + strings.Repeat("[", 600): "|Too deeply nested",
	} {
		got = nil
		diags := LoadConfig(config(t, text), []string{"a", "b"}, set)
		values, mistake, _ := strings.Cut(want, "|")
		if g := strings.Join(got, " "); g != values {
			t.Errorf("%q: %q, want %q", text, g, values)
		}
		switch all := diags.Error(); {
		case mistake == "" && diags.HasErrors():
			t.Errorf("%q: %s", text, all)
		case mistake != "" && !strings.Contains(all, mistake):
			t.Errorf("%q: %q, want %q", text, all, mistake)
		}
	}
	if diags := LoadConfig(filepath.Join(t.TempDir(), "none"), nil, set); diags.HasErrors() {
		t.Errorf("no file: %v", diags)
	}
	if diags := LoadConfig(t.TempDir(), nil, set); !diags.HasErrors() {
		t.Error("a directory is no mistake")
	}
}

func FuzzConfig(f *testing.F) {
	for _, seed := range []string{"jobs = 1", "cas = \"x\"", "a = [1, {b = 2}]", "a {\n}\n", "a = \"${x}\"", "a = <<E\nx\nE\n", "\ufeffa = 1\r\n", "a = {", "a = 1 ? 2 : f(3)"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file := config(t, string(data))
		seen := 0
		diags := LoadConfig(file, []string{"jobs", "cas", "a"}, func(Setting) error { seen++; return nil })
		if diags.HasErrors() {
			_ = diags.Error()
		}
	})
}
