// Package rules turns the typed attributes of targets into actions. Kinds lists the rules; each is a struct whose fields carry the
// attribute's name, so that buildfile can fill it without either package knowing the other's types. A Spec is planned against a
// Runtime, which holds everything of the outside world that rules may use.
package rules

import (
	"context"
	"iter"
	"sync"
	"time"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/rules/download"
	"cbuild/rules/registry"
	"cbuild/rules/report"
)

// A Spec is the evaluated attributes of one instance. Fields with the tag `hcl:"name"` are attributes; `hcl:"name,required"` must
// be there. The types are: string, bool, int, float64, time.Duration ("90s"), Size, *T for what may be absent, []string,
// map[string]string, engine.Text, []engine.Text, map[string]engine.Text, []engine.Input (a list, or a map of destinations; with ",source" in the
// tag, literal strings are checked to be files of the workspace),
// engine.Shape (the tag has ",shape"), engine.Value (anything), engine.Object, []engine.Toolchain, Rows (a stream), Expr, PageExpr,
// and []engine.Named[Expr] (an object of expressions, in order). The tag `doc:"…"` is the attribute's line in
// the documentation, `one:"a b"` lists the only values that a string, or each of a list, may have, `later:"c"` those that a later version will
// have, `default:"…"` and `type:"…"` are for the documentation, and `key:"no"` marks those that enter no key.
type Spec interface {
	// Plan turns the attributes into a plan for the instance self. A mistake in an attribute is an *engine.InvalidError that names
	// the attribute.
	Plan(ctx context.Context, rt *Runtime, self Self) (*engine.Plan, error)
}

// A Querier is a Spec whose target is a collection of items that it asks for, instead of an action.
type Querier interface {
	Query(ctx context.Context, rt *Runtime, self Self) iter.Seq2[engine.Item, error]
}

// Self is the instance that a Spec is planned for.
type Self struct {
	Instance engine.Instance
	// View is what the instance may ask of the rest of the build.
	View engine.View
	// Where is file:line of the target, for messages.
	Where string
	// Dir is the package whose files its literal paths name: that in which the target is written.
	Dir string
	// Name is what the target is called where it is written.
	Name string
}

// Rows is the stream that an attribute such as `rows` names: elements with their keys.
type Rows func(ctx context.Context) iter.Seq2[engine.Item, error]

// Expr is an expression over `each` that a rule evaluates itself, once for each row. The value is plain data with Artifacts.
type Expr func(ctx context.Context, each engine.Item) (engine.Value, error)

// A PageExpr is an expression over `page` that a query evaluates itself, once for each answer. The zero PageExpr stands for an
// absent attribute.
type PageExpr struct {
	// Value evaluates it as a whole, Items element by element.
	Value func(ctx context.Context, p *Page) (engine.Value, error)
	Items func(ctx context.Context, p *Page) iter.Seq2[engine.Item, error]
	// Status is set if it mentions page.status: then an answer such as 404 is a page like any other.
	Status bool
}

// Size is a number of bytes, written as a number or as in "512MB" or "4GiB".
type Size int64

// A Kind is a rule.
type Kind struct {
	// Name is the block type, as in "run".
	Name string
	// New returns the zero attributes, a pointer to a struct.
	New func() Spec
	// Reads are the attributes that can be read from an instance, sorted.
	Reads []string
	// Single is set for rules that cannot be repeated.
	Single bool
}

// Kinds are the rules, in the order in which documentation lists them.
func Kinds() []Kind {
	return []Kind{
		{Name: "run", New: func() Spec { return new(Run) }, Reads: []string{"exit_code", "json", "key", "log", "matrix", "ok", "out", "outcome", "partial", "text", "value"}},
		{Name: "fetch", New: func() Spec { return new(Fetch) }, Reads: []string{"blake3", "key", "ok", "out", "outcome", "sha256", "size", "url", "value"}},
		{Name: "query", New: func() Spec { return new(Query) }, Single: true},
		{Name: "toolchain", New: func() Spec { return new(Toolchain) }, Reads: []string{"bin", "env", "key", "ok", "out", "outcome", "value", "version"}},
		{Name: "collate", New: func() Spec { return new(Collate) }, Reads: []string{"count", "key", "ok", "out", "outcome", "rows", "summary", "value"}},
		{Name: "write", New: func() Spec { return new(Write) }, Reads: []string{"key", "ok", "out", "outcome", "value"}},
		{Name: "group", New: func() Spec { return new(Group) }, Reads: []string{"ok", "outcome"}, Single: true},
	}
}

// Pools are names of pools, as a build knows them.
type Pools []string

// Common are the attributes of every rule that performs actions; none enters a key.
type Common struct {
	Timeout time.Duration `hcl:"timeout" key:"no" default:"run 10m, fetch and toolchain 5m" doc:"Longest time that an attempt may take. A condition of a stored timeout, not part of its key: raising it redoes only what hit it."`
	Retries *int          `hcl:"retries" key:"no" default:"run 2, others 5" doc:"How often infrastructure trouble is retried, with growing pauses; Retry-After wins. A command that fails is none: if it may, its script tries again."`
	CPU     int           `hcl:"cpu" key:"no" default:"1" doc:"How many of the -j slots it takes, and, if written, how many processors it may keep busy."`
	Memory  Size          `hcl:"memory" key:"no" doc:"Memory that it may use with all its processes; that much is also set aside for it. Like timeout a condition, not part of the key."`
	Pool    Pools         `hcl:"pool" key:"no" doc:"Pools of which it takes a slot and a turn each."`
	Disk    Size          `hcl:"disk" key:"no" doc:"Size that one file, and its outs together, may have. Like timeout a condition, not part of the key."`
	Cache   string        `hcl:"cache" key:"no" one:"yes no local" default:"\"yes\"" doc:"\"yes\"; \"no\": done once in each build; \"local\": never leaves this machine's store."`
}

// Sources gives access to the files of the workspace.
type Sources interface {
	// Source stores the file or directory that path names, seen from the package dir, and returns it as an artifact with Source
	// set. Path is package-relative, or "//dir/file" for a file outside other packages. A directory is taken whole but for
	// sub-packages, lock files, cbuild-out and .git.
	Source(ctx context.Context, dir, path string) (engine.Artifact, error)
	// Restore stores the sources with the digest d again, after the store lost something of them.
	Restore(ctx context.Context, d cas.Digest) error
}

// Pins remembers what was found out about the outside world, so that later builds need not ask again. Requests and answers name
// no host of a mirror.
type Pins interface {
	// Pin returns the answer that is pinned for request of target.
	Pin(target engine.Label, request string) (answer string, ok bool)
	// SetPin pins answer at once, surviving a kill. It fails under --locked, with an error that says what would change.
	SetPin(target engine.Label, request, answer string) error
}

// System says what an action may use of this machine, for its key.
type System interface {
	// Host returns the lines that stand for the system "host" in a key: operating system, architecture, release, the content of
	// the programs (names looked up in PATH, or absolute paths) and the packages that own them with their dependencies, and the
	// packages named besides. Portable is false where the machine has no package database that could vouch for the programs. A
	// program that does not exist is an *engine.InvalidError.
	Host(ctx context.Context, programs, packages []string) (lines []string, portable bool, err error)
}

// A Runtime is everything of the outside world that rules may use.
type Runtime struct {
	Store cas.Store
	// Cache is where the results of a run are that has a depfile.
	Cache    engine.ActionCache
	Executor engine.Executor
	// Sandbox is the least class in which a run must have been executed.
	Sandbox engine.SandboxClass
	Sources Sources
	Pins    Pins
	System  System
	// Registries are the known ones by name.
	Registries map[string]registry.Registry
	// Machine identifies this machine in conditions.
	Machine string
	// Uses remembers which results used which toolchain.
	Uses *Uses
	// Env looks up a variable of the environment, for pass_env.
	Env func(name string) (string, bool)
	// Note, if set, says in every report what is special about this build.
	Note string
	// Build, if set, says what a report with a label shows of the build that it is part of.
	Build func(engine.Label) *report.Build
	// Growing, if set, keeps reports while their rows come in, and after that: who made it closes it.
	Growing *Growing
	// Preimage, if set, returns what is in a key, as its record says; nil if that is not known.
	Preimage func(context.Context, engine.Key) []byte
	// InOrder makes queries yield items in the order in which they ask, so that the first ones are always the same.
	InOrder bool
	// Offline forbids every request.
	Offline bool
	// Client makes all requests.
	Client *download.Client
	// Parts keeps downloads that were broken off; nil keeps none.
	Parts *download.Parts
	// Temp is a directory for files that are gone when an action is done.
	Temp string

	listings listings
	learning sync.Mutex // one at a time learns what a depfile says
}
