package registry

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A pyVersion is a version of a Python package in the form in which it is compared (PEP 440).
type pyVersion struct {
	text    string
	epoch   int
	release []int // without zeros at the end
	// pre is a, b or rc with a number; post, dev and local follow. A number of -1 stands for none.
	pre       string
	preN      int
	post, dev int
	local     []string
}

var pyForm = regexp.MustCompile(`^v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[-_.]?(a|b|c|rc|alpha|beta|pre|preview)[-_.]?(\d*))?` +
	`(?:-(\d+)|([-_.]?(?:post|rev|r))[-_.]?(\d*))?(?:([-_.]?dev)[-_.]?(\d*))?(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?$`)

func parsePyVersion(s string) (pyVersion, bool) {
	m := pyForm.FindStringSubmatch(strings.ToLower(strings.TrimSpace(s)))
	if m == nil || len(s) > 256 {
		return pyVersion{}, false
	}
	v := pyVersion{text: s, preN: -1, post: -1, dev: -1}
	ok := true
	number := func(s string) int {
		n, err := strconv.Atoi(cmp.Or(s, "0"))
		ok = ok && err == nil
		return n
	}
	v.epoch = number(m[1])
	for part := range strings.SplitSeq(m[2], ".") {
		v.release = append(v.release, number(part))
	}
	for len(v.release) > 1 && v.release[len(v.release)-1] == 0 {
		v.release = v.release[:len(v.release)-1]
	}
	if m[3] != "" {
		v.pre = map[string]string{"a": "a", "alpha": "a", "b": "b", "beta": "b"}[m[3]]
		v.pre, v.preN = cmp.Or(v.pre, "rc"), number(m[4])
	}
	switch {
	case m[5] != "":
		v.post = number(m[5])
	case m[6] != "":
		v.post = number(m[7])
	}
	if m[8] != "" {
		v.dev = number(m[9])
	}
	if m[10] != "" {
		v.local = strings.FieldsFunc(m[10], func(r rune) bool { return r == '-' || r == '_' || r == '.' })
	}
	return v, ok
}

// key is the same for versions that are equal.
func (v pyVersion) key() string {
	v.text = ""
	return fmt.Sprint(v)
}

// final reports whether v is neither a pre-release nor one of a developer.
func (v pyVersion) final() bool { return v.pre == "" && v.dev < 0 }

// stage orders what has the same release: a developer's, alpha, beta, candidate, final.
func (v pyVersion) stage() int {
	switch {
	case v.pre == "" && v.post < 0 && v.dev >= 0:
		return 0
	case v.pre != "":
		return map[string]int{"a": 1, "b": 2, "rc": 3}[v.pre]
	}
	return 4
}

func comparePy(a, b pyVersion) int {
	dev := func(v pyVersion) int {
		if v.dev < 0 {
			return 1 << 62 // what is no developer's comes behind them
		}
		return v.dev
	}
	return cmp.Or(
		cmp.Compare(a.epoch, b.epoch), slices.Compare(a.release, b.release), cmp.Compare(a.stage(), b.stage()), cmp.Compare(a.preN, b.preN),
		cmp.Compare(a.post, b.post), cmp.Compare(dev(a), dev(b)), compareLocal(a.local, b.local))
}

// compareLocal compares the parts behind "+": numbers as such and above words.
func compareLocal(a, b []string) int {
	return slices.CompareFunc(a, b, func(x, y string) int {
		n, err := strconv.Atoi(x)
		m, err2 := strconv.Atoi(y)
		switch {
		case err == nil && err2 == nil:
			return cmp.Compare(n, m)
		case err == nil:
			return 1
		case err2 == nil:
			return -1
		}
		return strings.Compare(x, y)
	})
}

// A pyRange is a list of conditions such as ">=1.2, !=1.5.*, ~=1.4", all of which must hold.
type pyRange []pyCondition

type pyCondition struct {
	op     string
	want   pyVersion
	prefix bool // of ==1.2.* and !=1.2.*
}

func parsePyRange(s string) (r pyRange, err error) {
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		var c pyCondition
		for _, op := range []string{"===", "==", "!=", "<=", ">=", "~=", "<", ">"} {
			if strings.HasPrefix(part, op) {
				c.op = op
				break
			}
		}
		text, prefix := strings.CutSuffix(strings.TrimSpace(part[len(c.op):]), ".*")
		c.prefix = prefix
		v, ok := parsePyVersion(text)
		c.want = v
		if c.op == "" || !ok || prefix && c.op != "==" && c.op != "!=" || c.op == "~=" && !strings.ContainsRune(text, '.') {
			return nil, fmt.Errorf("%q is no condition on a version, such as >=1.2", part) //nolint:err113 // shown as it is
		}
		r = append(r, c)
	}
	return r, nil
}

// allows reports whether v is in r. Pre-releases are, if the range names one.
func (r pyRange) allows(v pyVersion) bool {
	named := slices.ContainsFunc(r, func(c pyCondition) bool { return !c.want.final() })
	if !v.final() && !named {
		return false
	}
	for _, c := range r {
		if !c.allows(v) {
			return false
		}
	}
	return true
}

func (c pyCondition) allows(v pyVersion) bool {
	public := v
	if c.want.local == nil {
		public.local = nil // what the range does not speak of does not matter
	}
	order := comparePy(public, c.want)
	switch c.op {
	case "===":
		return strings.EqualFold(v.text, c.want.text)
	case "==", "!=":
		equal := order == 0
		if c.prefix {
			equal = hasRelease(v, c.want, len(releaseOf(c.want.text)))
		}
		return equal == (c.op == "==")
	case "<=":
		return order <= 0
	case ">=":
		return order >= 0
	case "<": // not a pre-release of the bound itself
		return order < 0 && (v.final() || !c.want.final() || slices.Compare(v.release, c.want.release) != 0)
	case ">": // nor a post-release
		return order > 0 && (v.post < 0 || c.want.post >= 0 || slices.Compare(v.release, c.want.release) != 0)
	}
	return order >= 0 && hasRelease(v, c.want, len(releaseOf(c.want.text))-1) // ~=
}

// releaseOf returns the numbers of a version's release as they are written, with zeros at the end.
func releaseOf(text string) []string {
	m := pyForm.FindStringSubmatch(strings.ToLower(strings.TrimSpace(text)))
	if m == nil {
		return nil
	}
	return strings.Split(m[2], ".")
}

// hasRelease reports whether the first n numbers of v's release are those of want's.
func hasRelease(v, want pyVersion, n int) bool {
	at := func(r []int, i int) int {
		if i < len(r) {
			return r[i]
		}
		return 0
	}
	for i := range n {
		if at(v.release, i) != at(want.release, i) {
			return false
		}
	}
	return v.epoch == want.epoch
}
