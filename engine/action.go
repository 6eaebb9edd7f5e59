package engine

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cbuild/cas"
)

// A Key is the digest of all that may influence an action. The zero Key belongs to actions that are never stored.
type Key [32]byte

// IsZero reports whether k is the key of an action that is never stored.
func (k Key) IsZero() bool { return k == Key{} }

func (k Key) String() string {
	if k.IsZero() {
		return ""
	}
	return "b3:" + hex.EncodeToString(k[:])
}

// ParseKey reads what String writes.
func ParseKey(s string) (k Key, err error) {
	digits, ok := strings.CutPrefix(s, "b3:")
	if n, err := hex.Decode(k[:], []byte(digits)); !ok || err != nil || n != len(k) || len(digits) != 2*len(k) {
		return Key{}, fmt.Errorf("%q is no key", s)
	}
	return k, nil
}

// An Action is one repeatable step, the unit of work of every rule.
type Action interface {
	// Key returns the action's key, or the zero Key if its result is never stored.
	Key() Key
	// Preimage returns what Key is a digest of in readable form, a line `name: value` for each component.
	Preimage() []byte
	// Do performs the step. An error is trouble or one of the error types of Outcome; it is never recorded.
	Do(ctx context.Context, emit func(Event)) (*Result, error)
}

// PoolKind says which slot an action needs while it is done.
type PoolKind uint8

// The pools: a CPU slot (-j), a connection, or none at all.
const (
	NoPool PoolKind = iota
	CPUPool
	NetPool
)

// A Plan is what evaluating an instance ends in: an action and how to go about it.
type Plan struct {
	Action Action
	Pool   PoolKind
	// Slots is how many slots of the pool it takes; less than 1 means 1.
	Slots int
	// Retries is how often trouble that may pass is retried.
	Retries int
	// Pools are further pools, by name, of which it takes a slot each.
	Pools []string
	// Want are the conditions that a stored result must meet. Ran, if set, returns what the executor guaranteed; it is asked when the
	// action is over.
	Want Conditions
	Ran  func() Guarantees
	// Reuse reports whether a stored result that is not a pass may be used. Nil means no.
	Reuse func(*Result) bool
	// mode is how far look-ups go: not at all if an output of what is stored is lost. Unleased is set when somebody else has done the
	// same for too long to wait any longer.
	mode     LookupMode
	unleased bool
	// replaces is set if what is stored gives way to the new result, even if that one is no better: it was asked for.
	replaces bool
	// Narrow, if set, knows under which other keys the same may be stored: something in Action's key turned out not to matter.
	Narrow Narrower
	// Fresh makes the action run although a result is stored, once in each build.
	Fresh bool
	// Refresh makes the action run although a result is stored: what that tells of the build is out of date. It counts as cached all the same, and what
	// others read of it stays what it was: the new outputs stand behind those. If it can't be done, the stored result stays as it is.
	Refresh bool
	// Notes are passed on to the outcome: what is known beside the result and must not be stored with it.
	Notes map[string]string
	// Trivial is set for actions that run nothing and ask nobody: their results count as cached.
	Trivial bool
	// Always makes the action run even while the build is being stopped: a report of the rows known by then.
	Always bool
	// Shape is the `out` of the target as written, for this instance.
	Shape Shape
	// Ahead is how many bytes the result adds to what lies unconsumed on the disk, for the look-ahead's bound.
	Ahead func(*Result) int64
}

// A Narrower knows what an action depends on in truth: less than what is in its key, but that is known only when it is done.
type Narrower interface {
	// Keys returns the keys that stand for the action as far as earlier results of it, with other inputs, say what matters; the likeliest first.
	// What can no longer be read was never learned; an error means that nothing can be.
	Keys(ctx context.Context) ([]Key, error)
	// Learn notes what the action turned out to depend on, by its result, and returns the key that stands for that, with what it is a digest of in readable
	// form. The zero Key means that the result does not tell.
	Learn(ctx context.Context, r *Result) (k Key, preimage []byte, err error)
}

// SandboxClass says how well an executor shields an action from what it did not declare. A higher class serves a lower one.
type SandboxClass uint8

// The classes of sandboxes.
const (
	SandboxNone SandboxClass = iota
	SandboxFull
)

func (c SandboxClass) String() string { return [...]string{"none", "full"}[c] }

// Guarantees are what an executor can say of everything that it executes: see the fields of Conditions.
type Guarantees struct {
	Sandbox SandboxClass
	Soft    bool
}

// Conditions are what a stored result depends on beside its key. In a record they say how it came about; in a look-up what is
// asked for.
type Conditions struct {
	// Sandbox is the class it ran in, or the least that will do.
	Sandbox SandboxClass
	// Timeout, Memory and Disk (both in bytes) are the limits; zero means none.
	Timeout      time.Duration
	Memory, Disk int64
	// Soft is set in a record if memory was limited by denying it: then an ordinary failure may be the doing of that limit, too. One on the
	// disk always is of that kind.
	Soft bool
	// Machine identifies the machine on which it ran or is asked for.
	Machine string
}

// Serve reports whether a result with status s that came about under c may be used where want is asked for, and if not, why. A
// completed result serves any limit; one that a limit ended serves only the same or smaller limits on the same machine.
func (c Conditions) Serve(s Status, want Conditions) (ok bool, reason string) {
	if c.Sandbox < want.Sandbox {
		return false, "it ran in sandbox class " + c.Sandbox.String()
	}
	limited := func(had, asked int64) bool { return c.Machine != want.Machine || asked == 0 || asked > had }
	switch {
	case s == Timeout && limited(int64(c.Timeout), int64(want.Timeout)):
		return false, "it had a timeout of " + c.Timeout.String()
	case (s == OOM || s != Pass && c.Soft && c.Memory > 0) && limited(c.Memory, want.Memory):
		return false, "it had another memory limit"
	case s != Pass && c.Disk > 0 && limited(c.Disk, want.Disk):
		return false, "it had another limit on the disk"
	}
	return true, ""
}

// LookupMode says how far a look-up goes.
type LookupMode uint8

// The modes of a look-up.
const (
	LookupNormal LookupMode = iota
	// LookupBypass finds nothing in any layer, so that an action is done again.
	LookupBypass
)

// A Record is what an action cache keeps.
type Record struct {
	Key        Key
	Conditions Conditions
	Result     *Result
	// Preimage is the readable form of what Key digests, for explanations.
	Preimage []byte
}

// An ActionCache maps keys to results. All methods may be called concurrently.
type ActionCache interface {
	// Lookup returns the result stored for k that serves want, or nil and the reason why there is none. It never looks at blobs: a
	// result is digests, some of which may be elsewhere or lost. Damage is a miss; an error means that the cache can't be used.
	Lookup(ctx context.Context, k Key, want Conditions, mode LookupMode) (r *Result, reason string, err error)
	// Record stores r. When it returns without an error, a later Lookup finds it even if this process is killed at once. The
	// blobs of the result must be stored before.
	Record(ctx context.Context, r Record) error
	// Withdraw forgets what is recorded for k, because the action may have used something that was not what its key says.
	Withdraw(ctx context.Context, k Key) error
}

// Tokens stand in the strings of a Command for directories whose place only the executor knows. They are built from noncharacters
// that foreign text must not contain, and enter keys as they are, so that no path of a machine enters a key.
const (
	// WorkDir is the run's directory.
	WorkDir = "\uFDD0work\uFDD1"
	// ScriptPath is the file that holds Command.Script.
	ScriptPath = "\uFDD0script\uFDD1"
)

// ToolDir returns the token for the root of the n-th toolchain.
func ToolDir(n int) string { return "\uFDD0tool" + string(rune('0'+n)) + "\uFDD1" }

// legible replaces tokens, also those in what strconv.Quote wrote.
var legible = func() *strings.Replacer {
	var pairs []string
	add := func(token, name string) {
		quoted := strconv.Quote(token)
		pairs = append(pairs, token, name, quoted[1:len(quoted)-1], name)
	}
	add(WorkDir, "$PWD")
	add(ScriptPath, "script")
	for n := range 64 {
		add(ToolDir(n), "/tools/"+strconv.Itoa(n))
	}
	return strings.NewReplacer(pairs...)
}()

// Legible writes the tokens in text, which may be quoted, as people know what they stand for: $PWD, script, /tools/0.
func Legible(text string) string { return legible.Replace(text) }

// A Mount is something that an action finds in place when it starts.
type Mount struct {
	// Path is relative to the run's directory, clean, with forward slashes.
	Path string
	Artifact
}

// A Command is what an Executor executes. Its strings may hold WorkDir, ScriptPath and ToolDir tokens.
type Command struct {
	// Name is for messages only, as in run.check["a@v1"]["after"].
	Name string

	Argv []string
	// Env is sorted NAME=VALUE lines, complete: nothing is inherited.
	Env []string
	// Dir is where it starts, relative to the run's directory; "" is that directory.
	Dir string
	// Script is written to ScriptPath if it is not empty.
	Script string
	// Mounts are the inputs, sorted by path.
	Mounts []Mount
	// Tools are the trees of the toolchains; the n-th is at ToolDir(n).
	Tools []Artifact
	// Outs are collected whatever the outcome, sorted by path.
	Outs []OutSpec
	// Stdin, if set, is the content of standard input; else it is empty.
	Stdin cas.Digest
	// Stdout, if set, is the path of the out that captures standard output.
	Stdout string
	// Network is whether the action may reach the network.
	Network bool

	// System is what of a system it finds beside that, and Root the tree that is its root directory, for SystemRoot.
	System SystemKind
	Root   Artifact

	// Timeout, Memory, Disk (what it writes and leaves, both in bytes) and CPU (processors) are limits, zero for none; they are in no key.
	Timeout      time.Duration
	Memory, Disk int64
	CPU          int
	// Secrets are further variables of the environment. They are in no key, and the values of the secrets in them in no log and no output.
	Secrets map[string]Confidential
}

// SystemKind says what of a system a command finds beside its inputs and toolchains.
type SystemKind uint8

// The kinds of systems: that of the machine, nothing at all, or a root directory that is an artifact.
const (
	SystemHost SystemKind = iota
	SystemNone
	SystemRoot
)

// An Executor executes commands on this machine or elsewhere. All methods may be called concurrently.
type Executor interface {
	// Execute runs c and collects its outs into the store. The result says how it ended, failure included; an error is trouble.
	// When ctx ends, everything that c started ends before Execute returns.
	Execute(ctx context.Context, c *Command) (*Result, error)
	// Guarantees returns what it can say of its commands; before the first Execute it may not know that yet, and guarantees nothing.
	Guarantees() Guarantees
}
