package engine

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// InstanceLabel writes the address of an instance as the command line takes it: the label of its target, and in brackets its key, if the target is
// repeated, and its keys on the axes.
func InstanceLabel(label string, keys []string) string {
	var b strings.Builder
	b.WriteString(label)
	for _, k := range keys {
		b.WriteString("[" + labelKey(k) + "]")
	}
	return b.String()
}

// labelKey writes a key as it stands in a label: in quotes where it would be taken for something else.
func labelKey(key string) string {
	plain := func(r rune) bool {
		return r > ' ' && r != 0x7f && !strings.ContainsRune("[]*?\"\\", r) && unicode.IsPrint(r)
	}
	if key != "" && strings.IndexFunc(key, func(r rune) bool { return !plain(r) }) < 0 && utf8.ValidString(key) {
		return key
	}
	return strings.NewReplacer("[", `\x5b`, "]", `\x5d`).Replace(strconv.Quote(key))
}
