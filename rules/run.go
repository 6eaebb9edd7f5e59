package rules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"cbuild/cas"
	"cbuild/engine"
)

// Run are the attributes of a run: a command with declared inputs and outputs.
type Run struct {
	Common
	Command      []engine.Text                  `hcl:"command" doc:"Program and arguments, started without a shell. A run has either command or script."`
	Script       *engine.Text                   `hcl:"script" doc:"Text of a script, written to a file whose path is appended to shell."`
	Shell        []engine.Text                  `hcl:"shell" default:"[\"sh\", \"-eu\"]" doc:"What runs the script."`
	Inputs       []engine.Input                 `hcl:"inputs,source" doc:"Files and artifacts that it sees. In a map each stands at its name; a list as a member, or a name with a trailing slash, makes the name a directory."`
	With         []engine.Text                  `hcl:"with,source" doc:"Present and in the key like inputs, but not in $in: headers, data."`
	Tools        []string                       `hcl:"tools" doc:"Programs of the host that it starts besides its command; they are in the key with the packages that own them."`
	Env          map[string]engine.Text         `hcl:"env" doc:"Environment variables."`
	Depfile      string                         `hcl:"depfile" doc:"Out in the format of make's rules, as compilers write it with -MD, which names what was read. Files of with that it does not name do not matter to later builds."`
	PassEnv      []string                       `hcl:"pass_env" doc:"Variables taken from the environment of cbuild; their values are in the key."`
	Dir          string                         `hcl:"dir" default:"the run's directory" doc:"Directory in which it starts."`
	Stdin        *engine.Text                   `hcl:"stdin" default:"nothing" doc:"Text, or one file, for standard input."`
	Toolchains   []engine.Toolchain             `hcl:"toolchains" doc:"Toolchains whose programs come first in PATH, in the order of the list."`
	Out          engine.Shape                   `hcl:"out,shape" default:"stdout" doc:"Promised outputs. A trailing slash promises a directory; optional(\"p\") may be missing."`
	Stdout       string                         `hcl:"stdout" doc:"Out that captures standard output; it is out when out is absent."`
	SecretEnv    map[string]engine.Confidential `hcl:"secret_env" key:"no" doc:"Environment variables that hold secrets. Their values are in no key and no log, and an out that holds one is refused."`
	Network      bool                           `hcl:"network" default:"false" doc:"Whether it may use the network. Then what is not a pass is never reused."`
	Platform     map[string]string              `hcl:"platform" doc:"Properties of the platform that it needs."`
	System       engine.Value                   `hcl:"system" type:"string, list of strings or artifact" default:"\"host\"" doc:"What it finds beside inputs and toolchains: \"host\", the machine's programs and libraries; a list of host packages that are in the key, too; \"none\", nothing; or an artifact, a directory that is its root file system, read-only. The last two need sandbox class full, and their results are those of every machine."`
	AllowFailure bool                           `hcl:"allow_failure" key:"no" default:"false" doc:"A failure is a result like any other and is reused."`
}

// baseEnv is the environment of every run, before toolchains and the target's own.
var baseEnv = map[string]string{
	"PATH": "/usr/bin:/bin", "HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "TZ": "UTC",
}

// defaultRunTimeout is how long a run may take if it does not say.
const defaultRunTimeout = 10 * time.Minute

// Plan lays out the run's directory and turns the attributes into a command.
func (r *Run) Plan(ctx context.Context, rt *Runtime, self Self) (*engine.Plan, error) {
	if (len(r.Command) > 0) == (r.Script != nil) {
		return nil, invalidf("a run has either command or script")
	}
	if r.Depfile != "" && (!inside(r.Depfile) || path.Clean(r.Depfile) == ".") {
		return nil, invalidf("depfile: %q is not inside the run's directory", r.Depfile)
	}
	l := &layout{ctx: ctx, rt: rt, dir: self.Dir, work: path.Clean(r.Dir)}
	if r.Dir != "" && !inside(r.Dir) {
		return nil, invalidf("dir: %q is not inside the run's directory", r.Dir)
	}
	c, err := r.command(l, self)
	if err != nil {
		return nil, err
	}
	system, err := r.system(ctx, rt, c)
	if err != nil {
		return nil, err
	}
	if c.Secrets, err = r.secretEnv(); err != nil {
		return nil, err
	}
	c.Timeout, c.Memory, c.Disk, c.CPU = r.Timeout, int64(r.Memory), int64(r.Disk), r.CPU
	if c.Timeout == 0 {
		c.Timeout = defaultRunTimeout
	}
	components := func(c *engine.Command) *engine.KeyBuilder {
		b := c.Key(system, sortedPairs(r.Platform))
		if r.Depfile != "" {
			b.String("depfile", path.Clean(r.Depfile)) // which of the outs it is
		}
		return b
	}
	key := components(c)
	p := &engine.Plan{
		Action:  &runAction{rt: rt, command: c, key: key.Sum(), preimage: key, depfile: r.Depfile},
		Pool:    engine.CPUPool,
		Pools:   r.Pool,
		Slots:   r.CPU,
		Retries: r.retries(2),
		Want:    engine.Conditions{Timeout: c.Timeout, Memory: c.Memory, Disk: c.Disk, Machine: rt.Machine, Sandbox: rt.Sandbox},
		Ran:     rt.Executor.Guarantees,
		Fresh:   r.Cache == "no",
		Shape:   r.shape(),
	}
	if r.AllowFailure {
		p.Notes = map[string]string{"allowed": "yes"}
	}
	if r.AllowFailure && !r.Network {
		p.Reuse = func(*engine.Result) bool { return true }
	}
	if r.Depfile != "" && len(l.loose) > 0 {
		p.Narrow = &narrowing{rt: rt, command: c, key: p.Action.Key(), loose: l.loose, depfile: path.Clean(r.Depfile), components: components}
	}
	return p, nil
}

// secretEnv returns the variables that hold secrets. One without any would be an input that is in no key.
func (r *Run) secretEnv() (map[string]engine.Confidential, error) {
	for _, name := range slices.Sorted(maps.Keys(r.SecretEnv)) {
		if !r.SecretEnv[name].HasSecret() {
			return nil, invalidf("secret_env: %s holds no secret, and would be in no key: write it in env", name)
		}
	}
	return r.SecretEnv, nil
}

// retries returns the attribute, or n if it is absent.
func (c *Common) retries(n int) int {
	if c.Retries != nil {
		return *c.Retries
	}
	return n
}

// shape is the out of the target: standard output where it promises nothing else.
func (r *Run) shape() engine.Shape {
	if r.Out == nil && r.Stdout != "" {
		return engine.OutSpec{Path: path.Clean(r.Stdout)}
	}
	return r.Out
}

// command builds the command. The order in which it looks at the attributes is that in which artifacts get their numbers.
func (r *Run) command(l *layout, self Self) (*engine.Command, error) {
	c := &engine.Command{Name: self.Instance.Name(), Network: r.Network}
	if l.work != "." {
		c.Dir = l.work
	}
	env := maps.Clone(baseEnv)
	l.toolchains(env, r.Toolchains)
	in, err := l.inputs(r.Inputs)
	if err != nil {
		return nil, err
	}
	if err := l.with(r.With); err != nil {
		return nil, err
	}
	if err := r.program(c, l, env, in); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(r.Env)) {
		env[name] = l.render(r.Env[name])
	}
	for _, name := range r.PassEnv {
		if v, ok := l.rt.Env(name); ok {
			env[name] = v
		}
	}
	for name := range r.SecretEnv {
		delete(env, name) // what counts is the secret
	}
	if r.Stdin != nil {
		if c.Stdin, err = l.stdin(*r.Stdin); err != nil {
			return nil, err
		}
	}
	if c.Outs, err = r.outs(); err != nil {
		return nil, err
	}
	if err := r.checkWords(c); err != nil {
		return nil, err
	}
	if r.Stdout != "" {
		c.Stdout = path.Clean(r.Stdout)
	}
	c.Env, c.Tools = sortedPairs(env), l.tools
	if c.Mounts, err = l.sorted(); err != nil {
		return nil, err
	}
	return c, outsBesideInputs(c)
}

// outsBesideInputs refuses files where inputs make a directory: no command could write them.
func outsBesideInputs(c *engine.Command) error {
	for _, o := range c.Outs {
		for _, m := range c.Mounts {
			if !o.Dir && (m.Path == o.Path && m.Kind == engine.TreeKind || strings.HasPrefix(m.Path, o.Path+"/")) {
				return invalidf("out: no file can be %s, which is a directory with the input %s. Give it another name, or a trailing slash if it is to be the directory", o.Path, m.Path)
			}
		}
	}
	return nil
}

// program sets what is executed: the command, or the shell with the script and the variables for it.
func (r *Run) program(c *engine.Command, l *layout, env map[string]string, in *string) error {
	if r.Script == nil {
		for _, t := range r.Command {
			c.Argv = append(c.Argv, l.render(t))
		}
		return nil
	}
	c.Argv = []string{"sh", "-eu"}
	if len(r.Shell) > 0 {
		c.Argv = nil
		for _, t := range r.Shell {
			c.Argv = append(c.Argv, l.render(t))
		}
	}
	c.Argv = append(c.Argv, engine.ScriptPath)
	c.Script = l.render(*r.Script)
	if in != nil {
		env["in"] = *in
	} else if mentions(c.Script, "in") {
		return invalidf("script: $in stands only for plain lists of inputs whose paths hold no spaces: use command, or name the paths in env")
	}
	var all []string
	forEachOut(r.shape(), "", func(name string, o engine.OutSpec) {
		p := l.relative(o.Path)
		all = append(all, p)
		if name != "" {
			env["out_"+name] = p
		}
	})
	if _, named := r.shape().(engine.Object); !named && len(all) > 0 {
		env["out"] = strings.Join(all, " ")
	}
	return nil
}

// mentions reports whether a shell script mentions the variable.
func mentions(script, name string) bool {
	for rest := script; ; {
		i := strings.IndexByte(rest, '$')
		if i < 0 {
			return false
		}
		rest = strings.TrimPrefix(rest[i+1:], "{")
		after, ok := strings.CutPrefix(rest, name)
		if ok && (after == "" || !wordByte(after[0])) {
			return true
		}
	}
}

func wordByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// outs lists everything that the run promises.
func (r *Run) outs() ([]engine.OutSpec, error) {
	var outs []engine.OutSpec
	var bad error
	attr := "out"
	add := func(_ string, o engine.OutSpec) {
		o.Path = path.Clean(o.Path)
		if !inside(o.Path) || o.Path == "." {
			bad = invalidf("%s: %q is not inside the run's directory", attr, o.Path)
		}
		if !slices.ContainsFunc(outs, func(x engine.OutSpec) bool { return x.Path == o.Path }) {
			outs = append(outs, o)
		}
	}
	forEachOut(r.Out, "", add)
	if r.Depfile != "" {
		attr = "depfile"
		add("", engine.OutSpec{Path: r.Depfile})
	}
	if r.Stdout != "" {
		attr = "stdout"
		add("", engine.OutSpec{Path: r.Stdout})
	}
	slices.SortFunc(outs, func(x, y engine.OutSpec) int { return strings.Compare(x.Path, y.Path) })
	return outs, bad
}

// forEachOut calls f for every OutSpec in shape, objects by the order of their names; name is that in the outermost object.
func forEachOut(shape engine.Shape, name string, f func(name string, o engine.OutSpec)) {
	switch s := shape.(type) {
	case engine.OutSpec:
		f(name, s)
	case []engine.Value:
		for _, v := range s {
			forEachOut(v, name, f)
		}
	case engine.Object:
		for _, k := range slices.Sorted(maps.Keys(s)) {
			member := name
			if member == "" {
				member = k
			}
			forEachOut(s[k], member, f)
		}
	}
}

// notFound says which attribute names a program that the machine does not have, and where else it may come from. First is what is
// executed.
func (r *Run) notFound(err error, first string) error {
	var invalid *engine.InvalidError
	if !errors.As(err, &invalid) {
		return err
	}
	rest, ok := strings.CutPrefix(invalid.Err.Error(), "command not found: ")
	if !ok {
		return err
	}
	attr := "command"
	if name, _, _ := strings.Cut(rest, " "); slices.Contains(r.Tools, name) && name != first {
		attr = "tools"
	} else if r.Script != nil {
		attr = "shell"
	}
	advice := ""
	if len(r.Toolchains) == 0 && attr != "tools" {
		advice = ". The run has no toolchains: add toolchains = [toolchain.NAME] if one brings it"
	}
	return invalidf("%s: %w%s", attr, invalid.Err, advice)
}

// runAction executes a command.
type runAction struct {
	rt       *Runtime
	command  *engine.Command
	key      engine.Key
	preimage *engine.KeyBuilder
	depfile  string // "" for none
}

func (a *runAction) Key() engine.Key  { return a.key }
func (a *runAction) Preimage() []byte { return a.preimage.Preimage() }

// Do executes the command. A pass without a promised out is a fail: the next target could not use it.
func (a *runAction) Do(ctx context.Context, _ func(engine.Event)) (*engine.Result, error) {
	a.rt.Uses.add(a.command, a.key)
	defer a.rt.Uses.settle(a.command, a.key)
	res, err := a.execute(ctx)
	if err != nil {
		return nil, err
	}
	for _, o := range a.command.Outs {
		if _, there := res.Out(o.Path); !there && !o.Optional && res.Status == engine.Pass {
			res.Status = engine.Fail
			setFact(res, "missing", o.Path)
		}
	}
	if a.depfile != "" && res.Status == engine.Pass {
		_, err := readDepfile(ctx, a.rt.Store, res, path.Clean(a.depfile))
		switch bad := badDepfile(""); {
		case errors.As(err, &bad):
			res.Status = engine.Fail
			setFact(res, "depfile", a.depfile+": "+err.Error())
		case err != nil:
			return nil, err
		}
	}
	if a.command.Network {
		setFact(res, "network", "yes") // a comparison takes what is not a pass for inconclusive
	}
	return res, nil
}

// execute executes the command. A source that the store lost is stored again; whatever else it lost, the engine has made again.
func (a *runAction) execute(ctx context.Context) (*engine.Result, error) {
	var restored []cas.Digest
	for {
		res, err := a.rt.Executor.Execute(ctx, a.command)
		var lost *engine.LostError
		if !errors.As(err, &lost) || slices.Contains(restored, lost.Digest) || !a.isSource(lost.Digest) {
			return res, err
		}
		if err := a.rt.Sources.Restore(ctx, lost.Digest); err != nil {
			return nil, fmt.Errorf("%w; %w", lost, err)
		}
		restored = append(restored, lost.Digest)
	}
}

// isSource reports whether one of the inputs with the digest d comes from the workspace.
func (a *runAction) isSource(d cas.Digest) bool {
	return slices.ContainsFunc(a.command.Mounts, func(m engine.Mount) bool { return m.Source && m.Digest == d })
}

func setFact(r *engine.Result, name, value string) {
	if r.Facts == nil {
		r.Facts = make(map[string]string)
	}
	r.Facts[name] = value
}

func sortedPairs(m map[string]string) []string {
	pairs := make([]string, 0, len(m))
	for k, v := range m {
		pairs = append(pairs, k+"="+v)
	}
	slices.Sort(pairs)
	return pairs
}

// inside reports whether p, relative and with forward slashes, stays inside the directory that it is relative to.
func inside(p string) bool {
	p = path.Clean(p)
	return p != ".." && !strings.HasPrefix(p, "../") && !path.IsAbs(p)
}

func invalidf(format string, args ...any) error {
	return &engine.InvalidError{Err: fmt.Errorf(format, args...)}
}

// stdin stores literal text, or returns the digest of the file that t is.
func (l *layout) stdin(t engine.Text) (cas.Digest, error) {
	if a, ok := t.Single(); ok {
		if a.Kind != engine.FileKind {
			return cas.Digest{}, invalidf("stdin: it is a directory")
		}
		return a.Digest, nil
	}
	s, ok := t.IsLiteral()
	if !ok {
		return cas.Digest{}, invalidf("stdin: it is either text or one file, not both")
	}
	return cas.PutBytes(l.ctx, l.rt.Store, []byte(s))
}
