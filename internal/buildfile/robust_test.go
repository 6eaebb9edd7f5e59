package buildfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// loadOnly loads text and returns what is wrong with it, as text.
func loadOnly(t testing.TB, text string) string {
	t.Helper()
	_, diags := Load(testOptions(write(t, map[string]string{FileName: text})))
	if !diags.HasErrors() {
		return ""
	}
	return diags.Error()
}

func TestHostileFiles(t *testing.T) {
	deep := func(open, middle, end string, n int) string {
		return "locals {\n  x = " + strings.Repeat(open, n) + middle + strings.Repeat(end, n) + "\n}\n"
	}
	for name, c := range map[string]struct{ text, want string }{
		"empty":               {"", ""},
		"byte order mark":     {"\xef\xbb\xbflocals {\n  x = 1\n}\n", ""},
		"CRLF":                {"locals {\r\n  x = 1\r\n}\r\n", ""},
		"not UTF-8":           {"locals {\n  x = \"\xff\"\n}\n", "is not UTF-8"},
		"a NUL":               {"locals {\n  x = 1 \x00\n}\n", "Invalid"},
		"reserved":            {"locals {\n  x = \"\uFDD0\"\n}\n", "Reserved character"},
		"reserved, escaped":   {"locals {\n  x = \"\\uFDD0work\\uFDD1\"\n}\n", "Reserved character"},
		"nested blocks":       {strings.Repeat("a {\n", 10000) + strings.Repeat("}\n", 10000), "Too deeply nested"},
		"parentheses":         {deep("(", "1", ")", 100000), "Too deeply nested"},
		"brackets":            {deep("[", "", "]", 100000), "Too deeply nested"},
		"negations":           {deep("!", "true", "", 100000), "Too deeply nested"},
		"conditionals":        {deep("true ? 1 : ", "1", "", 100000), "Too deeply nested"},
		"a long sum":          {deep("1 + ", "1", "", 100000), "Too deeply nested"},
		"templates":           {deep("\"${", "1", "}\"", 100000), "Too deeply nested"},
		"indexes":             {deep("", "local.y", "[0]", 100000), "Too deeply nested"},
		"attributes":          {deep("", "local.y", ".a", 100000), "Too deeply nested"},
		"many short lines":    {"locals {\n" + manyLines(20000) + "}\n", ""},
		"unfinished heredoc":  {"locals {\n  x = <<EOT\n", "Unterminated"},
		"unfinished template": {"locals {\n  x = \"${", "Missing expression"},
		"only a quote":        {"\"", "Invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			got := loadOnly(t, c.text)
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %.300q, want %q", got, c.want)
			}
			if took := time.Since(start); took > 5*time.Minute { // a hang, on however slow a machine
				t.Errorf("took %v", took)
			}
		})
	}
}

func manyLines(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("  x" + strings.Repeat("y", i%7) + "_" + string(rune('a'+i%26)) + "_" + itoa(i) + " = 1 + 2\n")
	}
	return b.String()
}

func itoa(i int) string {
	var b []byte
	for ; i > 0; i /= 10 {
		b = append(b, byte('0'+i%10))
	}
	return string(b)
}

func TestTooLargeFile(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(maxFile + 1); err != nil {
		t.Fatal(err)
	}
	f.Close()
	_, diags := Load(testOptions(dir))
	if !strings.Contains(diags.Error(), "larger than 16 MiB") {
		t.Errorf("got %v", diags.Error())
	}
}

func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/diag/*.hcl", "testdata/*/BUILD.hcl"} {
		files, _ := filepath.Glob(pattern)
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte(`run "a" { command = [for k in [1]: k...] }`))
	f.Add([]byte("locals {\n a = run[*]\n b = run.x[*].y[each.key]\n c = { (each.key) = 1 }\n}"))
	f.Add([]byte("import \"me\" { from = \"//\" }\nrun \"a\" {\n for_each = import.me.b\n command = [import.me.a[each.key].out]\n}\nrun \"b\" { for_each = [import.me.b] }"))
	f.Add([]byte("function \"f\" {\n params = [x]\n variadic = y\n result = [for x in y : f(x...)][x].y[each.key]\n}\nfunction \"g\" { result = f(run.a, g)[0] }\nrun \"a\" { for_each = f(run.a)[g()].x }"))
	f.Add([]byte("run \"a\" {\n matrix = { (run.a) = 1 }\n for_each = local\n}"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, FileName), data, 0o644); err != nil {
			t.Fatal(err)
		}
		w, diags := Load(testOptions(dir))
		_ = diags.Error()
		if w == nil {
			return
		}
		if !diags.HasErrors() {
			w.Validate()
			w.Resolve(nil)
		}
		if out, err := Format(data); err == nil {
			again, err := Format(out)
			if err != nil || string(again) != string(out) {
				t.Errorf("formatting twice: %v\n%q\n%q", err, out, again)
			}
		}
	})
}

func FuzzOpenLock(f *testing.F) {
	f.Add([]byte("pins \"//:a\" {\n  answers = {\n    \"x\" = \"y\"\n  }\n}\n"), []byte("{}"))
	f.Add([]byte("pins \"//:a\" {\n  file = \"a.ndjson\"\n  digest = \"b3:00\"\n}\n"), []byte(`{"request":"a","answer":"b"}`))
	dir := f.TempDir()
	if err := os.Mkdir(filepath.Join(dir, LockDir), 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, lock, answers []byte) {
		for name, data := range map[string][]byte{LockName: lock, LockDir + "/a.ndjson": answers} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		_, diags := OpenLock(dir, LockOptions{})
		_ = diags.Error()
		_, _ = decodeAnswers("a", answers)
	})
}
