package ui

import (
	"strconv"
	"strings"

	"cbuild/engine"
)

// plainWord are the characters that mean nothing to a shell.
const plainWord = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-"

// ShellWords writes words as they can be given to a shell again.
func ShellWords(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		if quoted[i] = w; w == "" || strings.Trim(w, plainWord) != "" {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// label writes the instance of an event as on the command line, which takes a key in quotes as it is.
func label(e engine.Event) string {
	l := e.Target.Label.String()
	for _, key := range e.Instance {
		if key == "" || strings.ContainsAny(key, `*?[]"\`) {
			key = strconv.Quote(key)
		}
		l += "[" + key + "]"
	}
	return l
}
