package main_test

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A pipeline is a model of a workspace that can be edited and written as files.
type pipeline struct {
	rng     *rand.Rand
	files   map[string]string
	parts   []*part
	server  *itemServer
	comment string
	names   int
}

// A part is a target of a pipeline.
type part struct {
	name, rule string
	// keys and over say what it is repeated for, if it is: literal keys, or another part, directly, through a filter, or through a
	// filter in a local.
	keys   []string
	over   *part
	filter string
	local  bool
	// axis are the literal keys of its matrix, across the collection on its axis.
	axis   []string
	across *part
	where  string
	salt   string
	source string
	reads  []reading
	allow  bool
}

// A reading is how a run refers to an earlier part.
type reading struct {
	of  *part
	how string // each, whole, same, key, barrier, try
	key string
}

var allKeys = []string{"a", "b", "c", "d", "e"}

func newPipeline(rng *rand.Rand) *pipeline {
	p := &pipeline{rng: rng, files: map[string]string{}}
	for i := range 3 {
		p.files[fmt.Sprintf("s%d.txt", i)] = p.word() + "\n"
	}
	for range 5 + rng.IntN(6) {
		p.add()
	}
	return p
}

func (p *pipeline) word() string              { return fmt.Sprintf("w%04d", p.rng.IntN(10_000)) }
func (p *pipeline) pick(from []string) string { return from[p.rng.IntN(len(from))] }
func (p *pipeline) chance(percent int) bool   { return p.rng.IntN(100) < percent }
func (p *pipeline) someAxis() []string {
	return [][]string{{"p", "q"}, {"q", "p"}, {"p", "q", "r"}}[p.rng.IntN(3)]
}
func (p *pipeline) newName() string { p.names++; return fmt.Sprintf("t%d", p.names) }
func (t *part) repeated() bool      { return t.keys != nil || t.over != nil || t.rule == "query" }
func (t *part) ref() string         { return t.rule + "." + t.name }
func (p *pipeline) rules(rule ...string) (found []*part) {
	for _, t := range p.parts {
		if slices.Contains(rule, t.rule) {
			found = append(found, t)
		}
	}
	return found
}

func (p *pipeline) someKeys() []string {
	keys := slices.Clone(allKeys)
	p.rng.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return keys[:1+p.rng.IntN(len(keys))]
}

// otherKeys gives t other literal keys, but keeps those that others name.
func (p *pipeline) otherKeys(t *part) {
	if t.keys == nil {
		return
	}
	keys := p.someKeys()
	for _, reader := range p.parts {
		for _, r := range reader.reads {
			if r.of == t && (r.how == "key" || r.how == "try") && !slices.Contains(keys, r.key) {
				keys = append(keys, r.key)
			}
		}
	}
	t.keys = keys
}

// allows reports whether a failure of the target with this label is a result.
func (p *pipeline) allows(label string) bool {
	for _, t := range p.parts {
		if "//:"+t.name == label {
			return t.allow
		}
	}
	return false
}

// add makes one more part that reads earlier ones.
func (p *pipeline) add() {
	t := &part{name: p.newName(), rule: "run", salt: p.word(), source: p.pick(slices.Sorted(maps.Keys(p.files))), allow: p.chance(80)}
	readable := p.rules("run", "write")
	switch n := p.rng.IntN(100); {
	case len(p.parts) < 2 && n < 30:
		t.rule = "query"
		p.parts = append(p.parts, t)
		return
	case n < 15:
		t.rule = "write"
	case n < 25 && len(readable) > 0:
		t.rule, t.over = "collate", readable[p.rng.IntN(len(readable))]
		p.parts = append(p.parts, t)
		return
	}
	p.repeat(t)
	if t.rule == "run" {
		for range p.rng.IntN(3) {
			p.addReading(t)
		}
	}
	if p.chance(30) {
		p.addWhere(t)
	}
	p.parts = append(p.parts, t)
}

// repeat decides what t is repeated for.
func (p *pipeline) repeat(t *part) {
	sources := p.rules("run", "write", "query")
	sources = slices.DeleteFunc(sources, func(s *part) bool { return !s.repeated() })
	switch n := p.rng.IntN(100); {
	case n < 30:
		t.keys = p.someKeys()
	case n < 75 && len(sources) > 0:
		t.over = sources[p.rng.IntN(len(sources))]
		if p.chance(40) {
			t.filter, t.local = p.pick(allKeys), p.chance(50)
		}
		if t.over.rule != "query" && t.rule == "run" {
			t.reads = append(t.reads, reading{of: t.over, how: "each"})
		}
	}
	if t.rule != "run" {
		return
	}
	plain := slices.DeleteFunc(slices.Clone(sources), func(s *part) bool { return s.rule == "query" || s.matrix() })
	switch n := p.rng.IntN(100); {
	case n < 25:
		t.axis = p.someAxis()
	case n < 33 && len(plain) > 0:
		t.across = plain[p.rng.IntN(len(plain))]
	}
}

func (t *part) matrix() bool { return t.axis != nil || t.across != nil }

// addReading makes t read an earlier part in some way that is possible.
func (p *pipeline) addReading(t *part) {
	sources := slices.DeleteFunc(p.rules("run", "write"), func(s *part) bool { return s.across != nil })
	if len(sources) == 0 {
		return
	}
	r := reading{of: sources[p.rng.IntN(len(sources))], key: p.pick(allKeys)}
	if r.of.keys != nil { // of which it is known beforehand what is not there
		r.key = p.pick(r.of.keys)
	}
	switch {
	case !r.of.repeated():
		r.how = "whole"
	case t.repeated():
		r.how = p.pick([]string{"same", "key", "barrier", "try"})
	default:
		r.how = p.pick([]string{"key", "barrier", "try"})
	}
	t.reads = append(t.reads, r)
}

// addWhere gives t another filter, or none.
func (p *pipeline) addWhere(t *part) {
	t.where = ""
	same := slices.DeleteFunc(p.rules("run"), func(s *part) bool { return !s.repeated() || s.matrix() || slices.Index(p.parts, s) >= p.place(t) })
	switch {
	case t.rule == "collate" || t.rule != "query" && !t.repeated() && t.axis == nil:
	case t.axis != nil && p.chance(50):
		t.where = fmt.Sprintf("axis.side != %q", p.pick([]string{"p", "q"}))
	case t.rule == "run" && t.repeated() && len(same) > 0 && p.chance(40):
		// Rendered with the name that the part has by then.
		s := same[p.rng.IntN(len(same))]
		t.where = "ok:" + fmt.Sprint(slices.Index(p.parts, s))
	case t.repeated():
		t.where = fmt.Sprintf("each.key != %q", p.pick(allKeys))
	}
}

// place returns where t is among the parts, or will be.
func (p *pipeline) place(t *part) int {
	if i := slices.Index(p.parts, t); i >= 0 {
		return i
	}
	return len(p.parts)
}

// write makes the files of p in the workspace of w.
func (p *pipeline) write(w *world) {
	for name, text := range p.files {
		w.write(name, text)
	}
	w.write("BUILD.hcl", p.text())
}

// text renders BUILD.hcl.
func (p *pipeline) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", p.comment)
	for _, t := range p.parts {
		if t.local && t.over != nil {
			fmt.Fprintf(&b, "locals {\n  of_%s = %s\n}\n", t.name, t.filtered())
		}
		fmt.Fprintf(&b, "%s %q {\n", t.rule, t.name)
		p.attributes(&b, t)
		b.WriteString("}\n\n")
	}
	return b.String()
}

func (t *part) filtered() string {
	if t.filter == "" {
		return t.over.ref()
	}
	return fmt.Sprintf("{ for k, x in %s : k => x if k != %q }", t.over.ref(), t.filter)
}

func (p *pipeline) attributes(b *strings.Builder, t *part) {
	set := func(name, format string, args ...any) {
		fmt.Fprintf(b, "  %s = %s\n", name, fmt.Sprintf(format, args...))
	}
	if t.rule == "query" {
		set("url", "{ one = %q, two = %q }", p.server.URL+"/one", p.server.URL+"/two")
		set("items", "{ for x in page.json.items : x.name => x }")
		set("next", "page.json.next")
	}
	switch {
	case t.rule == "collate":
		p.collate(set, t)
		return
	case t.local && t.over != nil:
		set("for_each", "local.of_%s", t.name)
	case t.over != nil:
		set("for_each", "%s", t.filtered())
	case t.keys != nil:
		set("for_each", "%s", list(t.keys))
	}
	switch {
	case t.axis != nil:
		set("matrix", "{ side = %s }", list(t.axis))
	case t.across != nil:
		set("matrix", "{ side = %s }", t.across.ref())
	}
	var of int
	if _, err := fmt.Sscanf(t.where, "ok:%d", &of); err == nil {
		set("where", "%s[each.key].ok", p.parts[of].ref())
	} else if t.where != "" {
		set("where", "%s", t.where)
	}
	switch t.rule {
	case "write":
		set("content", "%q", t.salt+" of "+t.mention())
		set("path", "%q", "w.txt")
	case "run":
		p.run(set, t)
	}
}

// mention is a template of what t is repeated for.
func (t *part) mention() string {
	text := t.salt
	switch {
	case t.over != nil && t.over.rule == "query":
		text = "${each.value.read}"
	case t.repeated():
		text = "${each.key}"
	}
	if t.axis != nil {
		text += " ${axis.side}"
	}
	return text
}

func (p *pipeline) collate(set func(string, string, ...any), t *part) {
	set("rows", "%s", t.over.ref())
	switch {
	case t.over.axis != nil:
		set("compare", "%s", list(t.over.axis))
		set("evidence", "%q", "both")
	case t.over.repeated() && !t.over.matrix():
		set("columns", "{ outcome = each.value.outcome, text = try(each.value.key, %q) }", "none")
	}
}

func (p *pipeline) run(set func(string, string, ...any), t *part) {
	inputs := []string{fmt.Sprintf("%q", t.source)}
	for _, r := range t.reads {
		inputs = append(inputs, r.expression(t))
	}
	if t.across != nil {
		inputs = append(inputs, "try(matrix.side.out, [])")
	}
	set("inputs", "[%s]", strings.Join(inputs, ", "))
	set("env", "{ SALT = %q, OF = \"%s\" }", t.salt, t.mention())
	// What fails depends on nothing but the content.
	set("script", "%q", `cat $in > $out; echo "$SALT $OF" >> $out; set -- $(cksum < $out); test $(($1 % 6)) -ne 0`)
	set("out", "%q", "o.txt")
	if t.allow {
		set("allow_failure", "true")
	}
}

// expression is how reader refers to what r names.
func (r reading) expression(reader *part) string {
	cell := ""
	switch {
	case r.of.across != nil && r.how == "each":
		return "[for k, x in each.value : x.out if x.ok]"
	case r.of.axis == nil:
	case reader.axis != nil && r.how != "barrier":
		cell = "[axis.side]"
	default:
		cell = `["p"]`
	}
	switch r.how {
	case "each":
		return "each.value" + cell + ".out"
	case "whole":
		return r.of.ref() + cell + ".out"
	case "same":
		return r.of.ref() + "[each.key]" + cell + ".out"
	case "key":
		return fmt.Sprintf("%s[%q]%s.out", r.of.ref(), r.key, cell)
	case "try":
		return fmt.Sprintf("try(%s[%q]%s.out, [])", r.of.ref(), r.key, cell)
	}
	return fmt.Sprintf("[for k, x in %s : x%s.out if x%s.ok]", r.of.ref(), cell, cell)
}

// list writes a list of strings.
func list(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = fmt.Sprintf("%q", w)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// An itemServer serves items on pages that come in an order of their own each time: two starts, each with two pages.
type itemServer struct {
	*httptest.Server
	mu    sync.Mutex
	items map[string][2]string // guarded by mu; a field that is read and one that is not, by key
	rng   *rand.Rand           // guarded by mu
}

func newItemServer(t *testing.T, seed uint64) *itemServer {
	s := &itemServer{items: map[string][2]string{}, rng: rand.New(rand.NewPCG(seed, 2))}
	for _, k := range allKeys[:3] {
		s.items[k] = [2]string{"first " + k, "unread"}
	}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *itemServer) set(key, read, unread string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items[key] = [2]string{read, unread}
}

// ServeHTTP serves /one, /one/next, /two and /two/next. Each item is on one of them.
func (s *itemServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	type item struct {
		Name   string `json:"name"`
		Read   string `json:"read"`
		Unread string `json:"unread"`
	}
	var page struct {
		Items []item  `json:"items"`
		Next  *string `json:"next"`
	}
	page.Items = []item{}
	s.mu.Lock()
	pause := time.Duration(s.rng.IntN(20)) * time.Millisecond
	for _, k := range slices.Sorted(maps.Keys(s.items)) {
		h := fnv.New32()
		h.Write([]byte(k))
		if []string{"/one", "/one/next", "/two", "/two/next"}[h.Sum32()%4] == r.URL.Path {
			page.Items = append(page.Items, item{k, s.items[k][0], s.items[k][1]})
		}
	}
	s.mu.Unlock()
	if !strings.HasSuffix(r.URL.Path, "/next") {
		next := r.URL.Path + "/next"
		page.Next = &next
	}
	time.Sleep(pause)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(page)
}
