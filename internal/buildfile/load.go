package buildfile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"cbuild/engine"
	"cbuild/rules"
)

// FileName is the name of the file that makes a directory a package.
const FileName = "BUILD.hcl"

// Options say what Load reads.
type Options struct {
	// Dir is the directory from which cbuild was called; it need not be a package.
	Dir string
	// File replaces BUILD.hcl in the package of Dir, if set; relative to Dir.
	File string
	// Vars are assignments in the order of the command line.
	Vars []VarAssignment
	// VarFiles are files of lines NAME = VALUE for the variables of the current package, relative to Dir. What the command line gives
	// wins over them, they over the environment.
	VarFiles []string
	// LookupEnv looks up CBUILD_VAR_NAME and the `env` of variables; nil means an empty environment.
	LookupEnv func(string) (string, bool)
	// Output returns what a command prints on its standard output, for the `command` of secrets; dir is where it starts. Nil means that
	// there are no commands.
	Output func(ctx context.Context, dir string, argv []string) (string, error)
	// Kinds are the rules.
	Kinds []rules.Kind
	// Fields returns the fields of the items of a registry; nil, or a nil result, means that they are not known.
	Fields func(registry string) []string
	// Sets are what patterns such as @failed stand for.
	Sets map[string]Set
	// Version is cbuild's own, compared with `requires`; "" is not compared.
	Version string
	// Read reads an attribute of an outcome; nil means rules.Read.
	Read func(ctx context.Context, rt *rules.Runtime, row *engine.Row, o *engine.Outcome, name string) (engine.Value, error)
}

// A Set calls use for each instance in it, of the workspace with this root. Without an instance it is the whole target. What is not there is passed
// over.
type Set func(root string, use func(target string, instance []string)) error

// A VarAssignment gives a variable a value, as in NAME=VALUE or //dir:NAME=VALUE.
type VarAssignment struct {
	// Dir is the package; it holds only if Qualified is set, else the package is that of Options.Dir.
	Dir         string
	Qualified   bool
	Name, Value string
}

// ParseVar reads NAME=VALUE or //dir:NAME=VALUE and reports whether arg is one.
func ParseVar(arg string) (VarAssignment, bool) {
	left, value, ok := strings.Cut(arg, "=")
	a := VarAssignment{Name: left, Value: value}
	if rest, qualified := strings.CutPrefix(left, "//"); qualified {
		a.Qualified = true
		colon := false
		a.Dir, a.Name, colon = strings.Cut(rest, ":")
		ok = ok && colon
	}
	return a, ok && validName(a.Name)
}

// A Workspace is what Load read. Its methods may be called concurrently, but Bind only before a build.
type Workspace struct {
	// Root is the absolute path of the workspace, and Package the slash-separated path below it of the package that holds
	// Options.Dir.
	Root, Package string
	// Targets are those of all packages, by label.
	Targets []*engine.Target

	opts     Options
	kinds    map[string]*kind
	reads    map[string][]string
	host     map[string]string
	packages map[string]*pkg
	byLabel  map[engine.Label]*target
	files    *files
	ignore   []string
	varFiles map[string]fileValue
	secrets  []*engine.Secret
	rt       atomic.Pointer[rules.Runtime]
	read     func(ctx context.Context, rt *rules.Runtime, row *engine.Row, o *engine.Outcome, name string) (engine.Value, error)
	defaults []*target
	sources  map[string]*source
	// opened are the calls of rules, of which there are calls.
	opened []*pkg
	// untold are the targets in rules that nobody calls.
	untold []*target
	calls  int
	// hasDefaults is set if a cbuild block names them.
	hasDefaults bool
}

// A pkg is a directory with a BUILD.hcl.
type pkg struct {
	ws    *Workspace
	dir   string
	src   *source
	diags *Diagnostics
	// broken is set after a syntax error: what the parser saw may be incomplete, so nothing is evaluated.
	broken bool

	variables map[string]*variable
	locals    map[string]*local
	secrets   map[string]*secret
	pools     map[string]*pool
	functions map[string]*userFunction
	imports   map[string]*importBlock
	// rules are its own, importedRules those that imports take into scope; missingRules are not there because of a mistake that was told.
	rules, importedRules map[string]*userRule
	missingRules         map[string]bool
	// pending are the blocks whose types are no words of the language: calls of rules, once these are known.
	pending []*hclsyntax.Block
	// outer is set for what is in a call of a rule: there are the names of the package where the rule is written, beside its own.
	outer *pkg
	call  *call
	// untold is set for what is in a rule that nobody calls: it is compiled for its mistakes, and is in no package.
	untold bool
	// calling are the functions that are being compiled, each because the one before calls it.
	calling []*userFunction
	targets map[string]*target
	order   []*target
	root    *hclsyntax.Block
	// json made the blocks if the file is JSON.
	json *jsonConverter
}

// Load reads every package of the workspace that contains opts.Dir. All mistakes come back at once. The workspace can be used
// unless the diagnostics have errors; then it may be nil.
func Load(opts Options) (*Workspace, *Diagnostics) {
	diags := new(Diagnostics)
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		diags.plain("Cannot use the directory "+opts.Dir, sentence(err))
		return nil, diags
	}
	w := &Workspace{
		opts: opts, packages: make(map[string]*pkg), byLabel: make(map[engine.Label]*target), read: opts.Read,
		kinds: make(map[string]*kind), sources: make(map[string]*source), reads: make(map[string][]string),
		host: map[string]string{"os": runtime.GOOS, "arch": runtime.GOARCH},
	}
	if w.read == nil {
		w.read = rules.Read
	}
	for _, k := range opts.Kinds {
		w.kinds[k.Name], w.reads[k.Name] = newKind(k), k.Reads
	}
	if w.Root, err = findRoot(dir, opts.File); err != nil {
		diags.plain("No "+FileName, sentence(err))
		return nil, diags
	}
	if w.files, err = openFiles(w.Root); err != nil {
		diags.plain("Cannot read the workspace", sentence(err))
		return nil, diags
	}
	w.readPackages(dir, diags)
	w.declare(diags)
	w.compileTargets(diags)
	w.findCycles(diags)
	w.finish(diags)
	return w, diags
}

// Bind gives the targets the runtime that their rules plan against. It must be called before a build.
func (w *Workspace) Bind(rt *rules.Runtime) { w.rt.Store(rt) }

// Close closes what expressions read files through. Nothing may be evaluated after it.
func (w *Workspace) Close() error {
	if w.files == nil {
		return nil
	}
	return w.files.root.Close()
}

func (w *Workspace) runtime() *rules.Runtime { return w.rt.Load() }

// findRoot returns the nearest directory upwards whose BUILD.hcl has a cbuild block, else the topmost one upwards with a BUILD.hcl.
func findRoot(dir, file string) (string, error) {
	root := ""
	if file != "" {
		root = filepath.Dir(filepath.Join(dir, file))
		if filepath.IsAbs(file) {
			root = filepath.Dir(file)
		}
		dir = root
	}
	for d := dir; ; d = filepath.Dir(d) {
		found, own := buildFileIn(d)
		if found {
			root = d
		}
		if own {
			return d, nil
		}
		if d == filepath.Dir(d) {
			break
		}
	}
	if root == "" {
		return "", errors.New("there is no " + FileName + " in " + dir + " or above it: write one, or use -C DIR")
	}
	return root, nil
}

// buildFileIn reports whether there is a build file in dir, and whether it has a cbuild block.
func buildFileIn(dir string) (found, own bool) {
	data, err := readBounded(filepath.Join(dir, FileName))
	if err == nil || errors.Is(err, errTooLarge) {
		return true, hasCbuildBlock(data)
	}
	data, err = readBounded(filepath.Join(dir, JSONName))
	if err == nil || errors.Is(err, errTooLarge) {
		return true, hasCbuildMember(data)
	}
	return false, false
}

// readPackages reads the files of all packages below the root.
func (w *Workspace) readPackages(dir string, diags *Diagnostics) {
	own := ""
	if w.opts.File != "" {
		own = w.opts.File
		if !filepath.IsAbs(own) {
			own = filepath.Join(dir, own)
		}
		dir = filepath.Dir(own)
	}
	w.Package = w.packageOf(dir)
	if own != "" {
		w.readPackage(w.Package, own, diags)
	} else {
		w.readPackage("", filepath.Join(w.Root, FileName), diags)
	}
	_ = fs.WalkDir(os.DirFS(w.Root), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		rel := p
		if p == "." {
			rel = ""
		}
		if rel != "" && (strings.HasPrefix(d.Name(), ".") || d.Name() == "cbuild-out" || w.ignored(rel)) {
			return fs.SkipDir
		}
		if w.packages[rel] != nil {
			return nil
		}
		name := filepath.Join(w.Root, filepath.FromSlash(rel), FileName)
		if rel != "" {
			// A directory with a cbuild block is a workspace of its own.
			if _, own := buildFileIn(filepath.Dir(name)); own && rel != w.Package {
				return fs.SkipDir
			}
		}
		w.readPackage(rel, name, diags)
		return nil
	})
}

func (w *Workspace) ignored(rel string) bool {
	return slices.ContainsFunc(w.ignore, func(g string) bool {
		ok, err := doublestar.Match(g, rel)
		return ok && err == nil
	})
}

// packageOf returns the package that holds the directory dir: the nearest one upwards.
func (w *Workspace) packageOf(dir string) string {
	rel, err := filepath.Rel(w.Root, dir)
	if err != nil || rel == "." {
		return ""
	}
	for rel = filepath.ToSlash(rel); rel != "."; rel = path.Dir(rel) {
		for _, name := range []string{FileName, JSONName} {
			if _, err := os.Stat(filepath.Join(w.Root, filepath.FromSlash(rel), name)); err == nil {
				return rel
			}
		}
		if w.opts.File != "" {
			return rel
		}
	}
	return ""
}
