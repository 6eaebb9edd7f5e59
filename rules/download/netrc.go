package download

import (
	"os"
	"strings"
	"sync"
)

// A netrc holds the names and passwords of a file such as ~/.netrc, by host. It is read at the first need.
type netrc struct {
	name string
	once sync.Once
	all  []login
}

// A login is one entry of a netrc; that of "default" has no host.
type login struct{ host, name, password string }

// maxNetrc is how long a netrc may be.
const maxNetrc = 1 << 20

// of returns the login for host. A file that can't be read holds none: that it is missing is no mistake.
func (n *netrc) of(host string) (login, bool) {
	n.once.Do(func() {
		if n.name == "" {
			return
		}
		if data, err := os.ReadFile(n.name); err == nil && len(data) <= maxNetrc {
			n.all = parseNetrc(string(data))
		}
	})
	for _, l := range n.all {
		if l.host == "" || strings.EqualFold(l.host, host) {
			return l, l.name != "" || l.password != ""
		}
	}
	return login{}, false
}

// parseNetrc reads the words machine, default, login, password, account and macdef, as ftp(1) has them. Words that it does not know are
// left out.
func parseNetrc(text string) (all []login) {
	words := netrcWords(text)
	next := func() string {
		if len(words) == 0 {
			return ""
		}
		word := words[0]
		words = words[1:]
		return word
	}
	for len(words) > 0 {
		word := next()
		switch {
		case word == "machine":
			if host := next(); host != "" {
				all = append(all, login{host: host})
			}
		case word == "default":
			all = append(all, login{})
		case word == "account":
			next()
		case len(all) > 0 && word == "login":
			all[len(all)-1].name = next()
		case len(all) > 0 && word == "password":
			all[len(all)-1].password = next()
		}
	}
	return all
}

// netrcWords splits a netrc into words, which may stand in quotes. It leaves out macros, which end at an empty line, and lines that begin
// with #.
func netrcWords(text string) (words []string) {
	macro := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || macro || line[0] == '#' {
			macro = macro && line != ""
			continue
		}
		for line != "" && !macro {
			var word string
			if rest, quoted := strings.CutPrefix(line, `"`); quoted {
				word, line, _ = strings.Cut(rest, `"`)
			} else if end := strings.IndexAny(line, " \t"); end >= 0 {
				word, line = line[:end], line[end:]
			} else {
				word, line = line, ""
			}
			if macro = word == "macdef"; !macro {
				words = append(words, word)
			}
			line = strings.TrimLeft(line, " \t")
		}
	}
	return words
}
