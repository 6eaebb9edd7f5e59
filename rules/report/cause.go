package report

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cbuild/engine"
)

// A Cause is why a row needs a look, as far as one line can say: rows with equal causes belong together.
type Cause struct {
	Kind CauseKind
	// Text is normalized: see Common.
	Text string
}

// CauseKind tells errors of what was tried from what says nothing about it.
type CauseKind string

// The kinds of causes: an error of what was tried, a limit that it reached, and everything that kept it from being tried.
const (
	CauseError          CauseKind = "error"
	CauseLimit          CauseKind = "limit"
	CauseInfrastructure CauseKind = "infrastructure"
)

// atPlace is where compilers say that something is: file:3:5: or file(3,5): or file:3:5 -
const atPlace = `(?:\S+:\d+(?::\d+)?:\s+|\S+\(\d+,\d+\): |\S+:\d+:\d+ - )`

// Marks of lines that say what went wrong, the surest first.
var errorMarks = []*regexp.Regexp{
	regexp.MustCompile(`^` + atPlace + `?(?:[\w.+-]+: )?(?:fatal )?error(?:\[\w+\]| [A-Z]+\d+)?:|^\[ERROR\] \S+:\[\d+,\d+\] |^e: .`), // compilers
	regexp.MustCompile(`^panic: |^fatal error: |^fatal: |^thread '.*' (?:\(\d+\) )?panicked at|^\*\* \(|^expect\(.*\)\.`),
	regexp.MustCompile(`^(?:ERROR:|Error:|Failure/Error:|E:|E  |CMake Error\b|\[ERROR\]) *\S`),
	regexp.MustCompile(`^(?:[a-z]\w*\.)*[A-Z]\w*(?:\.\w+)*(?:Error|Exception)\b|^Exception in thread `), // Python, Java, JavaScript
	regexp.MustCompile(`^\S+\.\w+:\d+(?::\d+)?: .`),                                                     // file:line: what
	regexp.MustCompile(`^npm (?:ERR!|error) +\S|^not ok \d+`),
	regexp.MustCompile(`(?i)(?:^|[\s"'(\[:*])(?:` + strings.Join(errorWords, "|") + `)s?(?:$|[\s;,!?)"'\]]|[.:](?:\s|$))`),
}

// sure is how many of them need no second look.
const sure = 4

// errorWords are words of those lines. A line without any, and without a place or an error of a language, is not looked at more closely.
var errorWords = []string{
	"error", "failed", "failure", "fail", "exception", "cannot", "can't", "could not", "couldn't", "unable to", "undefined", "not found", "no such",
	"no rule to make", "denied", "refused", "assertion", "fatal", "panic", "unexpected", "mismatch", "segmentation fault", "aborted", "killed",
}

// Lines that sum up what other lines say, and those of whoever runs a program for another.
var summing = regexp.MustCompile(`^(?:FAIL|ok\b|> Task |---|===|#|note:|help:|warning:|exit status|Traceback |test .* \.\.\. |error: (?:could not compile|aborting due to|test failed, to rerun|\d+ targets? failed|subprocess-exited-with-error|command .* failed with exit|process didn't exit|\|-?$)|` +
	`make(?:\[\d+\])?: \*\*\* \[|ninja: build stopped|(?:collect2|clang(?:\+\+)?): error: (?:ld returned|linker command failed)|` +
	`ERROR: \w+ \(|\[ERROR\] +(?:COMPILATION ERROR|Failed to execute goal|-> \[Help|Tests run:|Failures:|Errors:|To see|Re-run|For more)|\[(?:INFO|WARNING|WARN|DEBUG)\]|` +
	`npm (?:ERR!|error) (?:code|path|errno|command|workspace|location|Exit status|Lifecycle|Failed at|This is probably|A complete log|\S+@\S+ \w+: )|` +
	`(?:Compiling|Checking|Downloading|Downloaded|Building|Running|Documenting) )`)

// harmless are lines that have words of errors and are none.
var harmless = regexp.MustCompile(`(?i)^` + atPlace + `(?:warning|note)\b|\bwarning:|\b(?:no|0|without) (?:errors?|failures?|failed)\b|\.\.\. ?(?:ok|yes|no|done|passed)$|^warn`)

// Lines that only lead to the next one, which says what went wrong.
var leading = regexp.MustCompile(`^thread '.*' (?:\(\d+\) )?panicked at .*:$|^CMake Error .*:$|\berror:(?: \[[\w-]+\])*(?: \[-W\S+\])?$`)

// What is read of a log to find the line: the beginning and the end of one that is long, and the beginnings of its lines.
const (
	maxSearched     = 1 << 20
	maxSearchedLine = 1000
)

// FirstError returns the line of a log that best says what went wrong: the first that looks like an error, else the last one; "" if there
// is none.
func FirstError(log string) string {
	if len(log) > maxSearched {
		log = Cut(log, maxSearched)
	}
	var best, last, sum string
	rank, led := len(errorMarks), false
	for line := range strings.Lines(log) {
		if len(line) > maxSearchedLine {
			line = strings.ToValidUTF8(line[:maxSearchedLine], "")
		}
		line = strings.TrimSpace(line)
		switch {
		case line == "":
			continue
		case led:
			best, last, led = strings.TrimPrefix(line, "• "), line, false
		case summing.MatchString(line):
			sum = cmp.Or(sum, line)
			continue
		default:
			last = line
			if r := rankOf(line, rank); r < rank {
				best, rank, led = line, r, leading.MatchString(line)
			}
		}
		if rank == 0 && !led {
			break
		}
	}
	return clip(cmp.Or(best, last, sum))
}

// rankOf returns the place of the first of the errorMarks before most that line has, else most.
func rankOf(line string, most int) int {
	if !suspect(line) {
		return most
	}
	for i, m := range errorMarks[:most] {
		if m.MatchString(line) {
			if i >= sure && harmless.MatchString(line) {
				break
			}
			return i
		}
	}
	return most
}

// suspect reports whether line may have one of the errorMarks. Nearly no line of a long log has any, and this is much faster than they are.
func suspect(line string) bool {
	if strings.HasPrefix(line, "E") || strings.HasPrefix(line, "e: ") || strings.HasPrefix(line, "**") || strings.HasPrefix(line, "npm ") || strings.HasPrefix(line, "not ok") || strings.HasPrefix(line, "expect(") {
		return true
	}
	for i := range len(line) - 1 { // file:3
		if line[i] == ':' && '0' <= line[i+1] && line[i+1] <= '9' {
			return true
		}
	}
	lower := strings.ToLower(line)
	return slices.ContainsFunc(errorWords, func(w string) bool { return strings.Contains(lower, w) })
}

// maxCause is the most bytes of a line that are kept of it.
const maxCause = 300

func clip(line string) string {
	if len(line) <= maxCause {
		return line
	}
	return strings.ToValidUTF8(line[:maxCause], "") + "…"
}

// What differs between lines that say the same. The place comes first, since what it holds would match the others.
var (
	place   = regexp.MustCompile(`^(?:\[ERROR\] +|E +)?(?:(?:\.{0,2}/)?(?:[\w@%+.-]+/)*[\w@%+.-]+\.\w+(?::\d+(?::\d+)?:\s*|\(\d+,\d+\):\s*|:\d+:\d+ - |:\[\d+,\d+\] ))?`)
	folders = regexp.MustCompile(`\w+://\S+|(?:\.{0,2}/)?(?:[\w@%+.~-]+/)+([\w@%+.~-]+)`)
	keys    = regexp.MustCompile(`\["(?:[^"\\]|\\.)*"\]`)
	address = regexp.MustCompile(`\b0x[0-9a-fA-F]+\b`)
	digits  = regexp.MustCompile(`\b[0-9a-f]{16,}\b|\b\d+(?:\.\d+)*\b`)
)

// Common returns what a line has in common with others that say the same: without the place in a file at its beginning, folders, addresses,
// digests and numbers.
func Common(line string) string {
	line = keys.ReplaceAllString(place.ReplaceAllString(line, ""), "[…]")
	line = folders.ReplaceAllStringFunc(line, func(path string) string {
		if strings.Contains(path, "://") {
			return path
		}
		return path[strings.LastIndexByte(path, '/')+1:]
	})
	line = address.ReplaceAllString(line, "0x…")
	line = digits.ReplaceAllStringFunc(line, func(n string) string {
		if len(n) >= 16 {
			return "…"
		}
		return "N"
	})
	return strings.Join(strings.Fields(line), " ")
}

// CauseOf returns the line that says best why a side did not pass, and the cause that it stands for. Log is what it printed; both are empty for a pass.
func CauseOf(s *Side, log string) (line string, c Cause) {
	switch s.Outcome {
	case "", engine.ClassPass:
		return "", Cause{}
	case "timeout":
		return "timed out", Cause{CauseLimit, "timed out"}
	case "oom":
		return "out of memory", Cause{CauseLimit, "out of memory"}
	case "fail", "crash":
		line = FirstError(log)
		c.Kind = CauseError
	default:
		line, _, _ = strings.Cut(s.why(), "\n")
		line, c.Kind = clip(line), CauseInfrastructure
	}
	if c.Text = Common(line); c.Text == "" {
		c.Text = string(s.Outcome) + ", nothing was printed"
		if s.Outcome == "fail" {
			c.Text = fmt.Sprintf("exit code %d, nothing was printed", s.ExitCode)
		}
	}
	return line, c
}

// causes count rows by cause.
type causes struct {
	codes map[Cause]uint32 // from 1
	list  []counted
}

type counted struct {
	Cause
	rows int
}

// add returns a code for c, 0 for none.
func (cs *causes) add(c Cause) uint32 {
	if c.Text == "" {
		return 0
	}
	c.Text = Name(c.Text)
	if cs.codes == nil {
		cs.codes = make(map[Cause]uint32)
	}
	code := cs.codes[c]
	if code == 0 {
		cs.list = append(cs.list, counted{Cause: c})
		code = uint32(len(cs.list))
		cs.codes[c] = code
	}
	cs.list[code-1].rows++
	return code
}

// rank sorts the causes by how many rows they have, and returns the place of each code, 0 for 0.
func (cs *causes) rank() (place []uint32) {
	order := make([]uint32, len(cs.list))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortStableFunc(order, func(a, b uint32) int { return cs.list[b].rows - cs.list[a].rows })
	place = make([]uint32, len(order)+1)
	sorted := make([]counted, len(order))
	for at, code := range order {
		place[code+1] = uint32(at + 1)
		sorted[at] = cs.list[code]
	}
	cs.list = sorted
	return place
}
