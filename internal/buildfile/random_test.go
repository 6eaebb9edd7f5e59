package buildfile

import (
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/engine"
	"cbuild/rules"
)

// A program is a random BUILD.hcl in a form that can be edited.
type program struct {
	rng     *rand.Rand
	names   []string // of the targets, by number
	targets []randomTarget
	lists   [][]string // of elements, which targets are repeated for
	salt    []int      // a number in the command of each target
	comment string
	// home are the packages of the targets, "" or "sub", and at is where one is being written.
	home []string
	at   string
	// wrapped are the targets, if they are not repeated, that a rule of the first package makes.
	wrapped []bool
	// calls is set where what is read of others is written as calls of functions.
	calls bool
}

// functions are those that a random program calls.
const functions = `
function "list" {
  params = [of]
  result = join(",", [for k, r in of : k])
}
function "crossed" {
  params = [of]
  result = join(",", sort(keys({ for k, r in of : "${k}x" => r... })))
}
function "kept" {
  params = [of]
  result = { for k, r in same(of) : k => r if strlen(k) != 2 }
}
function "same" {
  params = [x]
  result = x
}
function "or" {
  params   = [x]
  variadic = others
  result   = try(x, others[0])
}
function "out" {
  params = [r]
  result = same(r).out
}
function "outs" {
  params = [of]
  result = join(",", [for k, r in of : "${k}=${or(r.out, "none")}"])
}
`

// A randomTarget is one target: what it is repeated for, and what it reads of earlier ones.
type randomTarget struct {
	list    int // for_each over this list; -1 if it is none
	over    int // for_each over this target; -1 if it is none
	filter  bool
	matrix  bool
	where   int // drops the instances whose key has this many characters; 0 for none
	fails   bool
	allow   bool
	reads   []int // earlier targets
	mode    []int // how each is read
	hasEach bool
}

func newProgram(rng *rand.Rand) *program {
	p := &program{rng: rng, lists: [][]string{{"a", "bb", "ccc"}, {"x", "yy"}, {"bb", "d", "ccc"}}}
	for i := range 4 + rng.IntN(6) {
		p.names = append(p.names, fmt.Sprintf("t%d", i))
		p.salt = append(p.salt, rng.IntN(3))
		p.wrapped = append(p.wrapped, rng.IntN(2) == 0)
		p.home = append(p.home, []string{"", "sub"}[rng.IntN(4)/3])
		t := randomTarget{list: -1, over: -1, where: max(0, rng.IntN(5)-1), matrix: rng.IntN(3) == 0, fails: rng.IntN(6) == 0, allow: rng.IntN(2) == 0}
		switch k := rng.IntN(4); {
		case k == 0 && i > 0:
			t.over, t.filter, t.hasEach = rng.IntN(i), rng.IntN(2) == 0, true
		case k < 3:
			t.list, t.hasEach = rng.IntN(len(p.lists)), true
		}
		for range min(i, rng.IntN(3)) {
			t.reads, t.mode = append(t.reads, rng.IntN(i)), append(t.mode, rng.IntN(5))
		}
		p.targets = append(p.targets, t)
	}
	return p
}

// edit changes something; free reports whether nothing has to be executed for that.
func (p *program) edit() (free bool) {
	i := p.rng.IntN(len(p.targets))
	switch p.rng.IntN(11) {
	case 10: // a call of a rule is as if its targets stood there
		p.wrapped[i] = !p.wrapped[i]
		return true
	case 9: // the package is part of a name
		p.home[i] = []string{"", "sub"}[p.rng.IntN(2)]
		return true
	case 8: // a call is as if its result stood there
		p.calls = !p.calls
		return true
	case 0:
		p.comment = fmt.Sprint("# ", p.rng.IntN(1000))
		return true
	case 1:
		p.names[i] = fmt.Sprintf("r%d_%d", i, p.rng.IntN(1000))
		return true
	case 2:
		p.salt[i]++
	case 3:
		l := p.rng.IntN(len(p.lists))
		p.lists[l] = append(p.lists[l], fmt.Sprintf("%se%d", strings.Repeat("z", p.rng.IntN(3)), p.rng.IntN(100)))
	case 4:
		l := p.rng.IntN(len(p.lists))
		p.lists[l] = slices.Delete(slices.Clone(p.lists[l]), 0, min(1, len(p.lists[l])))
	case 5:
		p.targets[i].where = p.rng.IntN(4)
	case 6:
		p.targets[i].fails = !p.targets[i].fails
	case 7:
		p.targets[i].allow = !p.targets[i].allow
	}
	return false
}

// ref writes the reference to target i.
func (p *program) ref(i int) string {
	name := p.names[i]
	if p.wraps(i) {
		name += ".it"
	}
	switch {
	case p.home[i] != p.at:
		return "import.other." + name
	case p.wraps(i):
		return "wrapped." + name
	}
	return "run." + name
}

// wraps reports whether target i is made by a rule.
func (p *program) wraps(i int) bool {
	return p.wrapped[i] && !p.targets[i].hasEach && !p.targets[i].matrix
}

// wrapping is the rule.
const wrapping = `
rule "wrapped" {
  param "words" { type = any }
  param "allow" { type = bool }
  run "r" {
    command       = param.words
    out           = "o"
    allow_failure = param.allow
  }
  output "it" { value = run.r }
}
`

// read writes an expression that reads target i in one of five ways; each is set where there is an each.key.
func (p *program) read(i, mode int, each bool) string {
	t := &p.targets[i]
	out := "out"
	if p.calls {
		switch {
		case mode == 1 && t.hasEach:
			return "list(" + p.ref(i) + ")"
		case mode == 2 && t.hasEach:
			return "crossed(same(" + p.ref(i) + "))"
		case mode == 0 && each && t.hasEach && !t.matrix:
			return fmt.Sprintf("or(out(%s[each.key]), \"none\")", p.ref(i))
		case mode == 4 && each && t.hasEach && !t.matrix:
			return fmt.Sprintf("same(%s)[each.key].out", p.ref(i))
		case mode == 3 && t.hasEach && !t.matrix:
			return "outs(" + p.ref(i) + ")"
		case mode == 0 && !t.hasEach && !t.matrix:
			return "out(" + p.ref(i) + ")"
		}
	}
	if t.matrix {
		out = []string{"old.out", "new.outcome"}[mode%2]
	}
	switch {
	case !t.hasEach && t.matrix:
		return fmt.Sprintf("try(%s.%s, \"none\")", p.ref(i), out)
	case !t.hasEach:
		return []string{p.ref(i) + ".out", p.ref(i) + ".outcome", fmt.Sprintf("(%s.ok ? %s.out : \"else\")", p.ref(i), p.ref(i)), p.ref(i) + ".exit_code", p.ref(i) + ".out"}[mode]
	case mode == 0 && each:
		return fmt.Sprintf("try(%s[each.key].%s, \"none\")", p.ref(i), out)
	case mode == 4 && each:
		return fmt.Sprintf("%s[each.key].%s", p.ref(i), out)
	case mode == 1:
		return fmt.Sprintf("join(\",\", [for k, r in %s : k])", p.ref(i))
	case mode == 2:
		return fmt.Sprintf("join(\",\", sort(keys({ for k, r in %s : \"${k}x\" => r... })))", p.ref(i))
	}
	return fmt.Sprintf("join(\",\", [for k, r in %s : \"${k}=${try(r.%s, \"none\")}\"])", p.ref(i), out)
}

// files returns the build files of both packages.
func (p *program) files() map[string]string {
	order := p.rng.Perm(len(p.targets))
	files := make(map[string]string)
	for dir, other := range map[string]string{"": "//sub", "sub": "//"} {
		p.at = dir
		var b strings.Builder
		fmt.Fprint(&b, p.comment, functions)
		if dir == "" {
			fmt.Fprintf(&b, "%simport \"other\" { from = %q }\n", wrapping, other)
		} else {
			fmt.Fprintf(&b, "import \"other\" {\n  from = %q\n  rules = [\"wrapped\"]\n}\n", other)
		}
		b.WriteString("locals {\n")
		for i, l := range p.lists {
			fmt.Fprintf(&b, "  l%d = %s\n", i, quoteAll(l))
		}
		b.WriteString("}\n")
		for _, i := range order {
			if p.home[i] == dir {
				p.write(&b, i)
			}
		}
		if dir == "" {
			b.WriteString("collate \"report\" {\n  rows = " + p.ref(len(p.names)-1) + "\n  formats = [\"json\"]\n}\n")
		}
		files[path.Join(dir, FileName)] = b.String()
	}
	return files
}

func (p *program) write(b *strings.Builder, i int) {
	t := &p.targets[i]
	kind := "run"
	if p.wraps(i) {
		kind = "wrapped"
	}
	fmt.Fprintf(b, "%s %q {\n", kind, p.names[i])
	switch {
	case t.list >= 0:
		fmt.Fprintf(b, "  for_each = local.l%d\n", t.list)
	case t.over >= 0 && t.filter && p.targets[t.over].hasEach && p.calls:
		fmt.Fprintf(b, "  for_each = kept(%s)\n", p.ref(t.over))
	case t.over >= 0 && t.filter && p.targets[t.over].hasEach:
		fmt.Fprintf(b, "  for_each = { for k, r in %s : k => r if strlen(k) != 2 }\n", p.ref(t.over))
	case t.over >= 0 && (p.targets[t.over].hasEach || p.targets[t.over].matrix):
		fmt.Fprintf(b, "  for_each = %s\n", p.ref(t.over))
	case t.over >= 0:
		fmt.Fprintf(b, "  for_each = { one = %s }\n", p.ref(t.over))
	}
	key := "\"-\""
	if t.hasEach {
		key = "each.key"
	}
	if t.matrix {
		b.WriteString("  matrix = { v = { old = 1, new = 2 } }\n")
	}
	if t.where > 0 && t.hasEach {
		fmt.Fprintf(b, "  where = strlen(each.key) != %d\n", t.where)
	}
	command := []string{`"do"`, fmt.Sprintf("%q", fmt.Sprint("salt ", p.salt[i])), key}
	if t.matrix {
		command = append(command, "matrix.v")
	}
	if t.fails {
		command = append(command, "\"explode\"")
	}
	for j, r := range t.reads {
		command = append(command, p.read(r, t.mode[j], t.hasEach))
	}
	if p.wraps(i) {
		fmt.Fprintf(b, "  words = [%s]\n  allow = %v\n}\n", strings.Join(command, ", "), t.allow)
		return
	}
	fmt.Fprintf(b, "  command = [%s]\n  out = \"o\"\n  allow_failure = %v\n}\n", strings.Join(command, ", "), t.allow)
}

func quoteAll(list []string) string {
	var q []string
	for _, s := range list {
		q = append(q, fmt.Sprintf("%q", s))
	}
	return "[" + strings.Join(q, ", ") + "]"
}

// world is what lasts between builds.
type world struct {
	store cas.Store
	cache engine.ActionCache
}

// buildAll builds everything, and returns what became of it, with the targets by number, and how many commands ran.
func (p *program) buildAll(t *testing.T, o world, jobs int) (state string, ran int) {
	t.Helper()
	files := p.files()
	w, diags := Load(realOptions(write(t, files)))
	if diags.HasErrors() {
		t.Fatalf("%v\n%s", diags, files)
	}
	host := &fakeHost{store: o.store}
	w.Bind(&rules.Runtime{Store: o.store, Executor: host, Sources: host, System: host, Temp: t.TempDir()})
	var wants []engine.Want
	for _, e := range w.Targets {
		wants = append(wants, engine.Want{Label: e.Label})
	}
	b := engine.New(engine.Options{Targets: w.Targets, Cache: o.cache, Jobs: jobs, Connections: 2, Window: 1 + jobs})
	if err := b.Run(t.Context(), wants); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i, name := range append(slices.Clone(p.names), "report") {
		label := engine.Label{Name: name}
		if i < len(p.home) {
			label.Dir = p.home[i]
			if p.wraps(i) {
				label.Name += "/r"
			}
		}
		for r, err := range b.Whole(t.Context(), label) {
			if err != nil {
				lines = append(lines, fmt.Sprintf("%d ended %s", i, engine.ClassOf(err)))
				break
			}
			for _, o := range r.Cells {
				line := fmt.Sprintf("%d %s%v %s", i, r.Key, o.Axes, o.Class())
				if o.Result != nil && name != "report" {
					for _, out := range o.Result.Outs {
						line += " " + out.Digest.String()
					}
				}
				lines = append(lines, line)
			}
		}
	}
	return strings.Join(lines, "\n"), len(host.ran)
}

func newWorld() world {
	return world{castest.NewMemory(), castest.NewMemoryActionCache()}
}

// TestIncrementalIsClean edits random build files at random: each time the build beside what is stored comes to the same as one from
// nothing, with one job as with sixteen; comments and names redo nothing, and neither does building again, but for failures that nobody
// allowed.
func TestIncrementalIsClean(t *testing.T) {
	seen := make(map[string]int)
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		p := newProgram(rng)
		kept := newWorld()
		state, _ := p.buildAll(t, kept, 4)
		for step := range 6 {
			free := p.edit()
			before := state
			var ran int
			state, ran = p.buildAll(t, kept, 1+15*(step%2))
			clean, _ := p.buildAll(t, newWorld(), 16-15*(step%2))
			if state != clean {
				t.Fatalf("seed %d, step %d: incremental\n%s\nclean\n%s\nof\n%s", seed, step, state, clean, p.files())
			}
			for _, word := range strings.Fields(state) {
				if _, class := classWords[word]; class {
					seen[word]++
				}
			}
			if free && state != before {
				t.Errorf("seed %d, step %d: a name or a comment changed\n%s\nto\n%s", seed, step, before, state)
			}
			again, redone := p.buildAll(t, kept, 2)
			if again != state {
				t.Errorf("seed %d, step %d: built again\n%s\nbefore\n%s", seed, step, again, state)
			}
			if unkept := p.unkept(state); redone > unkept || free && ran > unkept {
				t.Errorf("seed %d, step %d (free: %v): %d commands ran, then %d again, of which %d failures\n%s", seed, step, free, ran, redone, unkept, p.files())
			}
		}
	}
	for word := range classWords {
		if seen[word] < 50 {
			t.Errorf("only %d instances came to %s: the programs are too tame", seen[word], word)
		}
	}
}

// classWords are the outcomes that random programs come to.
var classWords = map[string]bool{"pass": true, "fail": true, "skipped": true, "invalid": true}

// unkept counts the failures in state that are not reused.
func (p *program) unkept(state string) int {
	n := 0
	for line := range strings.Lines(state) {
		var i int
		if _, err := fmt.Sscan(line, &i); err == nil && strings.Contains(line, " fail") && i < len(p.targets) && !p.targets[i].allow {
			n++
		}
	}
	return n
}
