package report

import (
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

// Marks of lines that say what went wrong, the surest first.
var errorMarks = []*regexp.Regexp{
	regexp.MustCompile(`^(?:\S+:\d+(?::\d+)?:\s+)?(?:fatal )?error(?:\[\w+\])?: .`), // compilers
	regexp.MustCompile(`^panic: |^fatal error: |^fatal: |^thread '.*' panicked at`),
	regexp.MustCompile(`^(?:npm (?:ERR!|error)|ERROR:|Error:|E:|E  ) *\S`),
	regexp.MustCompile(`^[A-Z]\w*(?:\.\w+)*(?:Error|Exception)\b`), // Python, Java, JavaScript
	regexp.MustCompile(`^\S+\.\w+:\d+(?::\d+)?: .`),                // file:line: what
	regexp.MustCompile(`(?i)\b(?:error|failed|failure|cannot|can't|undefined|not found|no such|denied|assertion|fatal|panic|unexpected)\b`),
}

// Lines that sum up what other lines say, and those of whoever runs a program for another.
var summing = regexp.MustCompile(`^(?:FAIL|ok|---|===|#|note:|help:|warning:|make(?:\[\d+\])?: \*\*\*|error: could not compile|error: aborting due to|npm (?:ERR!|error) (?:code|path|A complete log|errno)\b|exit status|Traceback )`)

// FirstError returns the line of a log that best says what went wrong: the first that looks like an error, else the last one; "" if there
// is none.
func FirstError(log string) string {
	best, last := "", ""
	rank := len(errorMarks)
	for line := range strings.Lines(log) {
		line = strings.TrimSpace(line)
		if line == "" || summing.MatchString(line) {
			continue
		}
		last = line
		for i, m := range errorMarks[:rank] {
			if m.MatchString(line) {
				best, rank = line, i
				break
			}
		}
		if rank == 0 {
			break
		}
	}
	if best == "" {
		best = last
	}
	return clip(best)
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
	place   = regexp.MustCompile(`^(?:\.{0,2}/)?(?:[\w@%+.-]+/)*[\w@%+.-]+\.\w+:\d+(?::\d+)?:\s*`)
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
