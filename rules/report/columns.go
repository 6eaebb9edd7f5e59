package report

import (
	"strings"
	"time"

	"cbuild/engine"
)

// columns are the rows of a page, column by column.
type columns struct {
	head   *Head
	keys   lines
	class  []uint32
	cause  []uint32
	detail []uint32
	group  words
	axes   []words
	own    []cells
	sides  []sideColumns
	causes causes
}

// sideColumns are what the rows say of one side.
type sideColumns struct {
	outcome, class, exit, took, cpu, memory, cached []uint32
	why, label                                      words
}

// lines are texts, a line each.
type lines struct {
	buf []byte
	n   int
}

func (l *lines) add(text string) {
	if l.n > 0 {
		l.buf = append(l.buf, '\n')
	}
	l.n++
	l.buf = append(l.buf, text...)
}

// noClass stands for a side that has no class: the base.
const noClass = 255

// keyMark stands for the row's key in a label, which would else be most of the page. No name holds it: it would be spelled out.
const keyMark = "\x01"

// outcomes are the words for how a side ended; the first is that of a side that does not exist.
var outcomes = []engine.Class{
	"", engine.ClassPass, "fail", "crash", "timeout", "oom", engine.ClassError, engine.ClassInvalid, engine.ClassUnavailable, engine.ClassSkipped, engine.ClassCancelled,
}

// code returns the place of v in list; what is not there has the first place.
func code[T comparable](list []T, v T) uint32 {
	for i := range list {
		if list[i] == v {
			return uint32(i)
		}
	}
	return 0
}

func newColumns(h *Head, link func(engine.Artifact) string) *columns {
	c := &columns{head: h, axes: make([]words, len(h.Axes)), own: make([]cells, len(h.Columns)), sides: make([]sideColumns, max(len(h.Compare), 1))}
	for i := range c.own {
		c.own[i].link = link
	}
	return c
}

// add adds a row, whose detail has the given number; 0 if it has none.
func (c *columns) add(r *Row, detail uint32) {
	key := Name(r.Key)
	c.keys.add(key)
	c.class = append(c.class, code(Classes(len(c.head.Compare) > 0), r.Class))
	c.detail = append(c.detail, detail)
	var cause Cause
	if r.Detail != nil {
		cause = r.Detail.Cause
	}
	c.cause = append(c.cause, c.causes.add(cause))
	for i := range c.axes {
		c.axes[i].add(Name(at(r.Axes, i)))
	}
	for i := range c.own {
		c.own[i].add(at(r.Columns, i))
	}
	if c.head.Grouped {
		c.group.add(Name(r.Group))
	}
	for i := range c.sides {
		side := at(r.Sides, i)
		c.sides[i].add(key, &side)
	}
}

// at returns list[i], or nothing where the list is shorter.
func at[T any](list []T, i int) (v T) {
	if i < len(list) {
		v = list[i]
	}
	return v
}

func (c *sideColumns) add(key string, s *Side) {
	class := uint32(noClass)
	if s.Class != "" {
		class = code(order, s.Class)
	}
	exit := uint32(0)
	if s.Ran {
		exit = uint32(max(s.ExitCode, 0))
	}
	e := &s.Extra
	c.outcome = append(c.outcome, code(outcomes, s.Outcome))
	c.class = append(c.class, class)
	c.exit = append(c.exit, exit)
	c.took = append(c.took, milliseconds(e.Took))
	c.cpu = append(c.cpu, milliseconds(e.Used.User+e.Used.System))
	c.memory = append(c.memory, uint32((e.Used.Memory+1<<20-1)>>20))
	c.cached = append(c.cached, uint32(e.Cached))
	why, _, _ := strings.Cut(Clean(s.why()), "\n")
	c.why.add(Name(why))
	label := Name(e.Label)
	if key != "" {
		label = strings.Replace(label, key, keyMark, 1)
	}
	c.label.add(label)
}

// milliseconds rounds d, but not to nothing.
func milliseconds(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	return uint32(max((d+time.Millisecond/2)/time.Millisecond, 1))
}

// pack returns the columns as a pack; chunks are the numbers of details before each chunk of them.
func (c *columns) pack(b *Build, chunks []int, sandbox string) []byte {
	var p packed
	place := c.causes.rank()
	for i, code := range c.cause {
		c.cause[i] = place[code]
	}
	p.section("key", "text", c.keys.buf)
	p.numbers("class", c.class)
	p.some("cause", c.cause)
	p.some("detail", c.detail)
	for i := range c.axes {
		p.words(indexed("axis", i), &c.axes[i])
	}
	kinds := make([]string, len(c.own))
	for i := range c.own {
		kinds[i] = c.own[i].pack(&p, indexed("column", i))
	}
	if c.head.Grouped {
		p.words("group", &c.group)
	}
	for i := range c.sides {
		c.sides[i].pack(&p, indexed("side", i)+".")
	}
	spans := b.spans()
	packSpans(&p, spans)
	return p.end(c.header(b, kinds, chunks, sandbox))
}

func indexed(name string, i int) string { return name + "." + Display(int64(i)) }

func (c *sideColumns) pack(p *packed, prefix string) {
	p.numbers(prefix+"outcome", c.outcome)
	p.numbers(prefix+"class", c.class)
	for _, n := range []struct {
		name   string
		values []uint32
	}{{"exit", c.exit}, {"took", c.took}, {"cpu", c.cpu}, {"mem", c.memory}, {"cached", c.cached}} {
		p.some(prefix+n.name, n.values)
	}
	if !c.why.empty() {
		p.words(prefix+"why", &c.why)
	}
	if !c.label.empty() {
		p.words(prefix+"label", &c.label)
	}
}

func packSpans(p *packed, spans []Span) {
	fields := make([][]uint32, 6)
	for _, s := range spans {
		for i, v := range []uint32{uint32(s.Lane), milliseconds(s.Start), milliseconds(s.Took), uint32(s.Target), code(outcomes, s.Outcome), uint32(max(s.Runs, 1))} {
			fields[i] = append(fields[i], v)
		}
	}
	for i, name := range []string{"lane", "start", "took", "target", "outcome", "runs"} {
		p.numbers("span."+name, fields[i])
	}
}

// header is all that a page says besides its rows.
func (c *columns) header(b *Build, kinds []string, chunks []int, sandbox string) object {
	h := c.head
	var o object
	o.int("version", 1)
	o.string("title", Name(h.Title))
	o.int("count", len(c.class))
	o.strings("compare", names(h.Compare))
	o.strings("axes", names(h.Axes))
	o.list("columns", len(kinds), func(i int, m *object) {
		m.string("name", Name(h.Columns[i]))
		m.string("kind", c.kind(kinds[i]))
	})
	o.member("grouped")
	o.buf = appendBool(o.buf, h.Grouped)
	o.strings("classes", texts(Classes(len(h.Compare) > 0)))
	o.strings("outcomes", texts(outcomes))
	o.member("summary")
	o.buf = h.appendSummary(o.buf)
	o.string("incomplete", h.incomplete())
	o.string("trouble", Name(h.Trouble))
	o.string("sandbox", sandbox)
	o.member("build")
	o.buf = b.append(o.buf)
	o.list("causes", len(c.causes.list), func(i int, m *object) {
		m.string("text", c.causes.list[i].Text)
		m.string("kind", string(c.causes.list[i].Kind))
		m.int("rows", c.causes.list[i].rows)
	})
	o.member("chunks")
	o.buf = appendInts(o.buf, chunks)
	return o
}

// kind is that of a column: those that a comparison has by itself hold outcomes.
func (c *columns) kind(kind string) string {
	if c.head.Outcomes {
		return "outcome"
	}
	return kind
}

func texts[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}

func names(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = Name(s)
	}
	return out
}
