package buildfile

import (
	"regexp"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// maxNested is how deep a document may be nested that a function decodes: decoders call themselves for each level.
const maxNested = 10_000

// nestedSize estimates what the decoder of a document makes: too much, if it is nested too deep.
func nestedSize(a []cty.Value) int {
	depth, deepest := 0, 0
	for _, c := range []byte(text0(a[0])) {
		switch c {
		case '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ']', '}':
			depth = max(0, depth-1)
		}
	}
	if deepest > maxNested {
		return maxBytes + 1
	}
	return 0
}

var (
	yamlQuoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'[^']*'`)
	yamlNames  = regexp.MustCompile(`(?:^|[\s\[{,])([&*])([^\s,\[\]{}]+)`)
)

// yamlSize estimates how much text a YAML document has once its aliases stand for what they name. It may be too much, not too little.
func yamlSize(a []cty.Value) int {
	text := text0(a[0])
	if !strings.Contains(text, "*") || !strings.Contains(text, "&") {
		return max(nestedSize(a), yamlNesting(text))
	}
	type open struct {
		name          string
		indent, depth int
		size          int
	}
	var stack []open
	sizes := make(map[string]int)
	total, depth := 0, 0
	grow := func(n int) {
		total = min(total+n, maxBytes+1)
		for i := range stack {
			stack[i].size = min(stack[i].size+n, maxBytes+1)
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		line = yamlQuoted.ReplaceAllString(line, `""`)
		bare := strings.TrimLeft(line, " ")
		if bare == "" || bare[0] == '#' {
			continue
		}
		for len(stack) > 0 && depth <= stack[len(stack)-1].depth && len(line)-len(bare) <= stack[len(stack)-1].indent {
			last := stack[len(stack)-1]
			sizes[last.name], stack = last.size, stack[:len(stack)-1]
		}
		indent := len(line) - len(bare)
		grow(len(line))
		for _, m := range yamlNames.FindAllStringSubmatch(line, -1) {
			if m[1] == "&" {
				stack = append(stack, open{name: m[2], indent: indent, depth: depth, size: len(line)})
				continue
			}
			size := sizes[m[2]]
			for _, o := range stack {
				if o.name == m[2] {
					size = o.size
				}
			}
			grow(size)
		}
		depth = max(0, depth+strings.Count(line, "[")+strings.Count(line, "{")-strings.Count(line, "]")-strings.Count(line, "}"))
	}
	return max(total, nestedSize(a), yamlNesting(text))
}

// yamlNesting is too much where block nodes are nested too deep: by indentation, or as in "- - - x".
func yamlNesting(text string) int {
	for line := range strings.SplitSeq(text, "\n") {
		if strings.Count(line, "- ")+strings.Count(line, "? ")+len(line)-len(strings.TrimLeft(line, " ")) > maxNested {
			return maxBytes + 1
		}
	}
	return 0
}
