package report

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"cbuild/engine"
)

// Display returns v as one line of text: nothing for nil, an artifact by its name, lists and objects as JSON.
func Display(v engine.Value) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case engine.Artifact:
		return v.Name
	case engine.Text:
		return v.Render(func(a engine.Artifact) string { return a.Name })
	}
	return string(appendJSON(nil, v))
}

// appendJSON appends v with its members sorted by name. What it writes is ASCII where a reader could be misled, and can stand inside
// an html script element.
func appendJSON(buf []byte, v engine.Value) []byte {
	switch v := v.(type) {
	case nil:
		return append(buf, "null"...)
	case bool:
		return strconv.AppendBool(buf, v)
	case int64:
		return strconv.AppendInt(buf, v, 10)
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return appendString(buf, strconv.FormatFloat(v, 'g', -1, 64))
		}
		return strconv.AppendFloat(buf, v, 'g', -1, 64)
	case string:
		return appendString(buf, v)
	case engine.Artifact:
		return appendArtifact(buf, v)
	case engine.Text:
		return appendString(buf, Display(v))
	case []engine.Value:
		buf = append(buf, '[')
		for i, e := range v {
			if i > 0 {
				buf = append(buf, ',')
			}
			buf = appendJSON(buf, e)
		}
		return append(buf, ']')
	case engine.Object:
		o := object{buf: buf}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			o.member(name)
			o.buf = appendJSON(o.buf, v[name])
		}
		return o.end()
	}
	return append(buf, "null"...)
}

func appendArtifact(buf []byte, a engine.Artifact) []byte {
	o := object{buf: buf}
	o.string("artifact", a.Name)
	o.string("kind", [...]string{engine.FileKind: "file", engine.TreeKind: "tree"}[a.Kind])
	o.string("digest", a.Digest.String())
	return o.end()
}

// An object is a JSON object that is being appended to buf, member by member.
type object struct {
	buf   []byte
	began bool
}

func (o *object) member(name string) {
	c := byte(',')
	if !o.began {
		o.began, c = true, '{'
	}
	o.buf = append(appendString(append(o.buf, c), name), ':')
}

func (o *object) string(name, value string) {
	o.member(name)
	o.buf = appendString(o.buf, value)
}

func (o *object) strings(name string, values []string) {
	o.member(name)
	o.buf = appendStrings(o.buf, values)
}

// list adds a list of n objects, filled in by add.
func (o *object) list(name string, n int, add func(i int, m *object)) {
	o.member(name)
	o.buf = append(o.buf, '[')
	for i := range n {
		if i > 0 {
			o.buf = append(o.buf, ',')
		}
		m := object{buf: o.buf}
		add(i, &m)
		o.buf = m.end()
	}
	o.buf = append(o.buf, ']')
}

func (o *object) int(name string, value int) {
	o.member(name)
	o.buf = strconv.AppendInt(o.buf, int64(value), 10)
}

func (o *object) end() []byte {
	if !o.began {
		o.buf = append(o.buf, '{')
	}
	return append(o.buf, '}')
}

func appendStrings(buf []byte, values []string) []byte {
	buf = append(buf, '[')
	for i, s := range values {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = appendString(buf, s)
	}
	return append(buf, ']')
}

func appendInts(buf []byte, values []int) []byte {
	buf = append(buf, '[')
	for i, v := range values {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = strconv.AppendInt(buf, int64(v), 10)
	}
	return append(buf, ']')
}

const hexDigits = "0123456789abcdef"

func appendString(buf []byte, s string) []byte {
	buf = append(buf, '"')
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			i++
			switch {
			case c == '"' || c == '\\':
				buf = append(buf, '\\', c)
			case c == '\n':
				buf = append(buf, '\\', 'n')
			case c == '\t':
				buf = append(buf, '\\', 't')
			case c < ' ' || c == 0x7f || c == '<' || c == '>' || c == '&':
				buf = append(buf, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			default:
				buf = append(buf, c)
			}
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		switch {
		case !hidden(r):
			buf = utf8.AppendRune(buf, r)
		case r < 0x10000:
			buf = appendUnicode(buf, r)
		default:
			high, low := utf16.EncodeRune(r)
			buf = appendUnicode(appendUnicode(buf, high), low)
		}
	}
	return append(buf, '"')
}

func appendUnicode(buf []byte, r rune) []byte {
	return append(buf, '\\', 'u', hexDigits[r>>12], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// title returns word with its first letter in upper case.
func title(word string) string {
	r, n := utf8.DecodeRuneInString(word)
	return string(unicode.ToUpper(r)) + strings.ReplaceAll(word[n:], "-", " ")
}
