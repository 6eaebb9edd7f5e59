package report

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

// What is found in a log is one line of it, and what it has in common with others is the same for what is already common.
func FuzzFirstError(f *testing.F) {
	for _, log := range append([]string{
		"a.c:1:2: error: x\nmake: *** [a] Error 1\n", "thread 'x' panicked at a.rs:1:2:\n\nwhat\n", "error:\n• \n", "error: [GHC-1]", "E   assert 1\r\n", "CMake Error at a (b):",
	}, hostile...) {
		f.Add(log)
	}
	f.Fuzz(func(t *testing.T, log string) {
		clean := Clean(log)
		if again := Clean(clean); again != clean {
			t.Errorf("cleaned twice: %q, then %q", clean, again)
		}
		line := FirstError(clean)
		if strings.Contains(line, "\n") || !utf8.ValidString(line) || len(line) > maxCause+len("…") {
			t.Errorf("the line is %q", line)
		}
		if !strings.Contains(clean, strings.TrimSuffix(line, "…")) {
			t.Errorf("%q is not in the log", line)
		}
		if (line == "") != (strings.TrimSpace(clean) == "") {
			t.Errorf("the line is %q of %q", line, clean)
		}
		if c := Common(line); strings.Contains(c, "\n") || !utf8.ValidString(c) || c != strings.TrimSpace(c) {
			t.Errorf("common: %q", c)
		}
	})
}

// Whatever is read as a page is one that could have been written, or an error.
func FuzzReadPage(f *testing.F) {
	h, rows := hostileRows()
	var page bytes.Buffer
	if err := Render(h, each(rows), NewHTML(&page, PageOptions{})); err != nil {
		f.Fatal(err)
	}
	f.Add(page.Bytes()[bytes.Index(page.Bytes(), []byte(dataStart)):])
	f.Add([]byte(dataStart + packAttribute + ">" + dataEnd))
	f.Add([]byte(dataStart + chunkAttribute + ">QUI=" + dataEnd + dataStart + packAttribute + ">QQ==" + dataEnd))
	f.Add([]byte(dataStart + dataStart + ">" + dataEnd))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ReadPage(data)
		if err != nil {
			return
		}
		var again bytes.Buffer
		p := NewHTML(&again, PageOptions{})
		for _, c := range s.Chunks {
			if err := p.embed(chunkAttribute, c); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.embed(packAttribute, s.Pack); err != nil {
			t.Fatal(err)
		}
		read, err := ReadPage(again.Bytes())
		if err != nil || !bytes.Equal(read.Pack, s.Pack) || len(read.Chunks) != len(s.Chunks) {
			t.Errorf("%v: %v, then %v", err, s, read)
		}
	})
}
