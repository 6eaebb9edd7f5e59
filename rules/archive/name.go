package archive

import (
	"path"
	"strings"
	"unicode/utf8"

	"cbuild/cas"
)

const (
	maxName = cas.MaxPath
	maxPart = 255
)

// cleanName returns the slash-separated relative path that an archive's name stands for, "." for the root, or the reason why it is
// refused. Elements that are empty or "." are dropped; ".." is refused even where it stays inside.
func cleanName(name string, depth int) (clean, refused string) {
	switch {
	case name == "":
		return "", "has no name"
	case len(name) > maxName:
		return "", "has too long a name"
	case !utf8.ValidString(name):
		return "", notUTF8
	case strings.HasPrefix(name, "/"):
		return "", "has an absolute name"
	case foreignPath(name):
		return "", "has a path of Windows as its name"
	case strings.ContainsFunc(name, control):
		return "", "has a control character in its name"
	}
	parts := strings.Split(name, "/")
	for _, p := range parts {
		if p == ".." {
			return "", `has ".." in its name`
		}
		if len(p) > maxPart {
			return "", "has a name with more than 255 bytes between slashes"
		}
	}
	clean = path.Clean(name)
	if strings.Count(clean, "/") >= depth {
		return "", "lies too deep"
	}
	return clean, ""
}

// control reports whether r has no place in a name: C0 and C1 controls and the noncharacters that mark artifacts in text.
func control(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0xfdd0 && r <= 0xfdef || r&0xfffe == 0xfffe
}

// foreignPath reports whether name, taken for a path of Windows, would be absolute or lead upwards. A backslash elsewhere is a letter
// like any other.
func foreignPath(name string) bool {
	if strings.HasPrefix(name, `\`) {
		return true
	}
	if len(name) >= 2 && name[1] == ':' && (name[0]|0x20 >= 'a' && name[0]|0x20 <= 'z') && (len(name) == 2 || name[2] == '\\' || name[2] == '/') {
		return true
	}
	if !strings.Contains(name, `\`) {
		return false
	}
	for p := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '\\' || r == '/' }) {
		if p == ".." {
			return true
		}
	}
	return false
}

// place returns where the entry with the clean name lies in the tree: "" if it is dropped, else its path without what is stripped.
func (o *Options) place(clean string) (where, refused string) {
	if prefix := strings.Trim(o.Prefix, "/"); prefix != "" {
		rest, ok := strings.CutPrefix(clean+"/", prefix+"/")
		if ok {
			return strings.TrimSuffix(rest, "/"), ""
		}
		if clean == "." || strings.HasPrefix(prefix+"/", clean+"/") {
			return "", "" // a directory above the prefix
		}
		return "", "does not begin with " + prefix + "/"
	}
	for range o.Strip {
		_, rest, ok := strings.Cut(clean, "/")
		if !ok {
			return "", ""
		}
		clean = rest
	}
	if clean == "." {
		return "", ""
	}
	return clean, ""
}
