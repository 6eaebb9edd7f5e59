// Package manual shows the chapters of the manual, which are written in a small part of Markdown, as text that fits a terminal (Text) and
// as man pages (Page). What it does not know of Markdown, it shows as it is.
package manual

import (
	"regexp"
	"strings"
	"unicode"
)

// The kinds of blocks.
const (
	heading = iota
	paragraph
	code  // as it is written
	items // a list
	table // the first row is its head
)

// A block is a part of a chapter.
type block struct {
	kind int
	text string     // of a heading or a paragraph
	rows [][]string // the lines of code, the items of a list, the cells of a table
}

var (
	listItem = regexp.MustCompile(`^(?:[-*]|[0-9]+\.) +`)
	rule     = regexp.MustCompile(`^\|[-| :]+\|$`)
)

// parse splits Markdown into its blocks.
func parse(markdown string) (all []block) {
	lines := strings.Split(strings.TrimRight(markdown, "\n"), "\n")
	for len(lines) > 0 {
		line := lines[0]
		switch {
		case strings.TrimSpace(line) == "":
			lines = lines[1:]
			continue
		case strings.HasPrefix(line, "```"):
			all, lines = append(all, block{kind: code}), lines[1:]
			for len(lines) > 0 && !strings.HasPrefix(lines[0], "```") {
				add(&all[len(all)-1], lines[0])
				lines = lines[1:]
			}
			lines = lines[min(1, len(lines)):]
			continue
		}
		var b block
		b, lines = next(lines)
		all = append(all, b)
	}
	return all
}

func add(b *block, cells ...string) { b.rows = append(b.rows, cells) }

// next takes one block from lines, of which there is at least one that is not blank.
func next(lines []string) (block, []string) {
	first := lines[0]
	switch {
	case strings.HasPrefix(first, "#"):
		return block{kind: heading, text: strings.TrimSpace(strings.TrimLeft(first, "#"))}, lines[1:]
	case strings.HasPrefix(first, "|"):
		b := block{kind: table}
		for ; len(lines) > 0 && strings.HasPrefix(lines[0], "|"); lines = lines[1:] {
			if !rule.MatchString(lines[0]) {
				add(&b, cells(lines[0])...)
			}
		}
		return b, lines
	case listItem.MatchString(first):
		b := block{kind: items}
		for ; len(lines) > 0 && strings.TrimSpace(lines[0]) != ""; lines = lines[1:] {
			if begin := listItem.FindString(lines[0]); begin != "" {
				add(&b, lines[0][len(begin):])
			} else {
				b.rows[len(b.rows)-1][0] += " " + strings.TrimSpace(lines[0])
			}
		}
		return b, lines
	case indented(first):
		b := block{kind: code}
		for ; len(lines) > 0 && indented(lines[0]); lines = lines[1:] {
			add(&b, strings.TrimPrefix(strings.TrimPrefix(lines[0], "\t"), "  "))
		}
		return b, lines
	}
	b := block{kind: paragraph}
	for ; len(lines) > 0 && strings.TrimSpace(lines[0]) != "" && !strings.HasPrefix(lines[0], "|") && !strings.HasPrefix(lines[0], "```"); lines = lines[1:] {
		b.text += " " + strings.TrimSpace(lines[0])
	}
	b.text = b.text[1:]
	return b, lines
}

func indented(line string) bool {
	return (strings.HasPrefix(line, "  ") || strings.HasPrefix(line, "\t")) && strings.TrimSpace(line) != ""
}

// cells splits the row of a table. A bar that is not between cells is written \|.
func cells(row string) (all []string) {
	row = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(row), "|"), "|")
	for _, cell := range strings.Split(strings.ReplaceAll(row, `\|`, "\x00"), "|") {
		all = append(all, strings.TrimSpace(strings.ReplaceAll(cell, "\x00", "|")))
	}
	return all
}

// The kinds of spans.
const (
	plain    = iota
	literal  // `x`: what is typed
	emphasis // *x*
)

// A span is a part of a text that is shown in one way.
type span struct {
	kind int
	text string
}

// The emphasis of a text stands at the edges of words, so that a * among them is one.
var inline = regexp.MustCompile("`([^`]+)`" + `|\*([A-Za-z][^*` + "`" + `]*)\*|\[([^\]]+)\]\([^)]*\)`)

// spans splits a text. Of a link its words are left.
func spans(text string) (all []span) {
	at := 0
	for _, m := range inline.FindAllStringSubmatchIndex(text, -1) {
		if m[4] >= 0 && (m[0] > 0 && !unicode.IsSpace(rune(text[m[0]-1])) || m[1] < len(text) && strings.ContainsRune("*/]", rune(text[m[1]]))) {
			continue // a glob
		}
		if m[0] > at {
			all = append(all, span{plain, text[at:m[0]]})
		}
		switch {
		case m[2] >= 0:
			all = append(all, span{literal, text[m[2]:m[3]]})
		case m[4] >= 0:
			all = append(all, span{emphasis, text[m[4]:m[5]]})
		default:
			all = append(all, spans(text[m[6]:m[7]])...)
		}
		at = m[1]
	}
	if at < len(text) {
		all = append(all, span{plain, text[at:]})
	}
	return all
}

// term splits what an item of a list explains from the explanation: it begins with what is typed.
func term(item string) (name, about string) {
	if !strings.HasPrefix(item, "`") {
		return "", item
	}
	end := strings.Index(item[1:], "`")
	if end < 0 {
		return "", item
	}
	return item[:end+2], strings.TrimSpace(item[end+2:])
}

// entries returns what a list or a table explains, and how. Of a table with more than two columns those in the middle stand behind the
// first, under their heads.
func (b *block) entries() (all [][2]string) {
	if b.kind == items {
		for _, row := range b.rows {
			name, about := term(row[0])
			all = append(all, [2]string{name, about})
		}
		return all
	}
	for i, row := range b.rows {
		if i == 0 {
			continue // the head
		}
		if len(row) == 1 {
			row = append(row, "")
		}
		var facts []string
		for i := 1; i < len(row)-1; i++ {
			if row[i] != "" && i < len(b.rows[0]) {
				facts = append(facts, fact(b.rows[0][i], row[i]))
			}
		}
		name := row[0]
		if len(facts) > 0 {
			name += "  (" + strings.Join(facts, "; ") + ")"
		}
		all = append(all, [2]string{name, row[len(row)-1]})
	}
	return all
}

// fact writes the cell of a table beside the head of its column.
func fact(head, cell string) string {
	switch cell {
	case "yes":
		return head
	case "required":
		return cell
	}
	if head == "type" {
		return cell
	}
	return head + " " + cell
}
