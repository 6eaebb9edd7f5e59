package main

import (
	"strings"
	"testing"
)

func TestOutputForATerminal(t *testing.T) {
	const text = "plain\ttab\n日本語 é 👍\n\x1b[31mred\x1b[0m \x1b]0;title\a \u202ebidi \u009b31m\r\n"
	want := "plain\ttab\n日本語 é 👍\n\uFFFD[31mred\uFFFD[0m \uFFFD]0;title\uFFFD \uFFFDbidi \uFFFD31m\uFFFD\n"
	for size := 1; size < len(text); size++ {
		var b strings.Builder
		o := &output{to: &b, terminal: true}
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			if written, err := o.Write([]byte(rest[:n])); written != n || err != nil {
				t.Fatalf("wrote %d of %d, %v", written, n, err)
			}
			rest = rest[n:]
		}
		if b.String() != want {
			t.Fatalf("in pieces of %d: %q, want %q", size, b.String(), want)
		}
	}
	var b strings.Builder
	if _, err := (&output{to: &b}).Write([]byte(text + "\xff")); err != nil || b.String() != text+"\xff" {
		t.Errorf("not a terminal: %q, %v", b.String(), err)
	}
}
