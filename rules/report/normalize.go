package report

import (
	"bytes"
	"regexp"
)

// A Normalizer replaces in evidence what differs between equal runs: first by patterns of the user's, then by what is known of all
// programs: directories of runs, temporary names, durations, addresses, and ids of processes.
type Normalizer struct {
	own []replacement
}

type replacement struct {
	pattern *regexp.Regexp
	with    []byte
}

// Add adds a pattern in RE2 syntax; $1 in with stands for its first group.
func (n *Normalizer) Add(pattern, with string) error {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	n.own = append(n.own, replacement{re, []byte(with)})
	return nil
}

// Normalize returns text with everything replaced. It may return text itself, and does not change it.
func (n *Normalizer) Normalize(text []byte) []byte {
	for _, r := range n.own {
		text = r.pattern.ReplaceAll(text, r.with)
	}
	return builtIn(text)
}

// builtIn is one scan by hand: evidence is read for every row that differs, and regular expressions take 50 times as long.
func builtIn(text []byte) []byte {
	var out []byte // nil until something is replaced
	done := 0      // text up to here is in out
	for i := 0; i < len(text); {
		n, with := 0, ""
		switch c := text[i]; {
		case c == '/' && (i == 0 || !pathByte(text[i-1])):
			n, with = path(text[i:])
		case c >= '0' && c <= '9':
			n, with = number(text, i)
		}
		if n == 0 {
			i++
			continue
		}
		if with != "" {
			out = append(append(out, text[done:i]...), with...)
			done = i + n
		}
		i += n
	}
	if out == nil {
		return text
	}
	return append(out, text[done:]...)
}

// path looks at an absolute path. It returns how much of it with stands for; 0 if nothing.
func path(p []byte) (n int, with string) {
	end := 0
	for end < len(p) && pathByte(p[end]) {
		end++
	}
	p = p[:end]
	if n, with = runDir(p); n > 0 {
		return n, with
	}
	return temporary(p)
}

// runDir returns the length of the directory of a run that p lies in: …/runs/run-000123/work.
func runDir(p []byte) (int, string) {
	const mark = "/runs/run-"
	at := bytes.LastIndex(p, []byte(mark))
	if at < 0 {
		return 0, ""
	}
	n := at + len(mark)
	digits := countDigits(p[n:])
	if digits < 6 {
		return 0, ""
	}
	n += digits
	for _, dir := range []string{"/work", "/tmp", "/script"} {
		rest, ok := bytes.CutPrefix(p[n:], []byte(dir))
		if !ok || len(rest) > 0 && rest[0] != '/' && rest[0] != ':' {
			continue
		}
		n += len(dir)
		with := "<" + dir[1:] + ">"
		if dir == "/tmp" {
			m, sub := random(p[n:])
			return n + m, with + sub
		}
		return n, with
	}
	return 0, ""
}

// temporary replaces the random part of the first name below /tmp.
func temporary(p []byte) (int, string) {
	for _, dir := range []string{"/tmp", "/var/tmp"} {
		if !bytes.HasPrefix(p, []byte(dir+"/")) {
			continue
		}
		if m, sub := random(p[len(dir):]); m > 0 {
			return len(dir) + m, "<tmp>" + sub
		}
	}
	return 0, ""
}

// random looks at the first name of p, which begins with a slash: it returns how much of p has a random end, as os.MkdirTemp and
// mktemp make it, and what stands for that.
func random(p []byte) (int, string) {
	if len(p) == 0 || p[0] != '/' {
		return 0, ""
	}
	end := 1
	for end < len(p) && p[end] != '/' && p[end] != ':' {
		end++
	}
	name := p[1:end]
	if rest, ok := bytes.CutPrefix(name, []byte("tmp.")); ok && len(rest) >= 6 {
		return end, "/tmp.<n>"
	}
	at := len(name)
	for at > 0 && name[at-1] >= '0' && name[at-1] <= '9' {
		at--
	}
	if len(name)-at >= 5 {
		return end, "/" + string(name[:at]) + "<n>"
	}
	return 0, ""
}

// number looks at the digits that begin at text[i]. It returns how much to pass over, and what stands for it, if anything.
func number(text []byte, i int) (n int, with string) {
	p := text[i:]
	if len(p) > 2 && p[0] == '0' && p[1] == 'x' {
		n := 2
		for n < len(p) && hexByte(p[n]) {
			n++
		}
		if n >= 2+5 && (n == len(p) || !wordByte(p[n])) {
			return n, "0x<n>"
		}
		return max(n, 1), ""
	}
	if i > 0 && (wordByte(text[i-1]) || text[i-1] == '.') {
		return countDigits(p), ""
	}
	if n := duration(p); n > 0 {
		return n, "<time>"
	}
	digits := countDigits(p)
	if digits < len(p) && wordByte(p[digits]) {
		return digits, ""
	}
	if process(text[:i], p[digits:]) {
		return digits, "<pid>"
	}
	return digits, ""
}

// units are the units of durations, the longer ones first.
var units = []string{"ns", "us", "µs", "μs", "ms", "s", "m", "h"}

// spelled are units after a space.
var spelled = []string{" seconds", " second", " secs", " sec", " ms", " milliseconds"}

// duration returns the length of a duration that p begins with, such as 12ms, 1m2.5s or 0.25 seconds; 0 if there is none. Minutes and
// hours alone are too often something else.
func duration(p []byte) int {
	for at := 0; ; {
		n := countDigits(p[at:])
		if n == 0 {
			return 0
		}
		at += n
		if at+1 < len(p) && p[at] == '.' {
			if n := countDigits(p[at+1:]); n > 0 {
				at += 1 + n
			}
		}
		for _, u := range spelled {
			if bytes.HasPrefix(p[at:], []byte(u)) && ends(p[at+len(u):]) {
				return at + len(u)
			}
		}
		u := unit(p[at:])
		at += len(u)
		switch {
		case u == "":
			return 0
		case ends(p[at:]):
			if u == "m" || u == "h" {
				return 0
			}
			return at
		}
	}
}

func unit(p []byte) string {
	for _, u := range units {
		if bytes.HasPrefix(p, []byte(u)) {
			return u
		}
	}
	return ""
}

func ends(p []byte) bool { return len(p) == 0 || !wordByte(p[0]) }

// process reports whether the number between before and after is the id of a process or thread, as in pid 12, pid=12, ==12==,
// goroutine 12 [running] and sshd[12]:.
func process(before, after []byte) bool {
	if bytes.HasSuffix(before, []byte("==")) && bytes.HasPrefix(after, []byte("==")) {
		return true
	}
	if bytes.HasSuffix(before, []byte("[")) && bytes.HasPrefix(after, []byte("]:")) {
		return len(before) > 1 && wordByte(before[len(before)-2])
	}
	word := bytes.TrimRight(before, " =:#")
	if len(word) == len(before) {
		return false
	}
	start := len(word)
	for start > 0 && wordByte(word[start-1]) && len(word)-start < 10 {
		start--
	}
	switch string(bytes.ToLower(word[start:])) {
	case "pid", "process", "thread", "tid":
		return true
	case "goroutine":
		return bytes.HasPrefix(after, []byte(" ["))
	}
	return false
}

func countDigits(p []byte) int {
	n := 0
	for n < len(p) && p[n] >= '0' && p[n] <= '9' {
		n++
	}
	return n
}

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func hexByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// pathByte reports whether c goes on with a path that programs print.
func pathByte(c byte) bool {
	return wordByte(c) || c == '/' || c == '.' || c == '-' || c == '+' || c == '@' || c == '%' || c == '~'
}
