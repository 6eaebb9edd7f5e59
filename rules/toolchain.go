package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"cbuild/engine"

	"github.com/Masterminds/semver/v3"
)

// Toolchain are the attributes of a toolchain.
type Toolchain struct {
	Common
	Kind       string            `hcl:"kind,required" one:"archive go node rust zig" doc:"What it is a toolchain of; \"archive\" takes what archives says."`
	Version    string            `hcl:"version" doc:"Version as its publisher writes it, a range such as \"^1.25\", or \"latest\": what these stand for is pinned. An archive needs none."`
	Components []string          `hcl:"components" doc:"What else belongs to it: of rust, such as clippy, rustfmt, rust-src or rust-std-TARGET; of node, npm or npm@VERSION."`
	Archives   engine.Value      `hcl:"archives" type:"object, list or map" doc:"{ url, sha256 }, a list of such that are laid over each other, or a map from platforms such as \"linux-amd64\" to either."`
	Strip      engine.Value      `hcl:"strip" type:"number or string" doc:"What to drop of the paths in archives, as for a fetch."`
	Bin        string            `hcl:"bin" default:"\"bin\"" doc:"Directory of the programs of archives."`
	Env        map[string]string `hcl:"env" doc:"Variables for the runs that use it, beside those of its kind. $${ROOT} stands for the place of its tree."`
}

// platform is this machine in pins and in archives.
const platform = runtime.GOOS + "-" + runtime.GOARCH

// toolWorkers is how many files of a toolchain are stored at a time.
const toolWorkers = 4

// Plan implements Spec. What a version stands for, and its checksums, are asked for first, once, and pinned; so the result is keyed by
// content like any download.
func (r *Toolchain) Plan(ctx context.Context, rt *Runtime, self Self) (*engine.Plan, error) {
	if err := r.check(); err != nil {
		return nil, &engine.InvalidError{Err: err}
	}
	switch r.Kind {
	case "go":
		return r.planGo(ctx, rt, self)
	case "node":
		return r.planNode(ctx, rt, self)
	case "rust":
		return r.planRust(ctx, rt, self)
	case "zig":
		return r.planZig(ctx, rt, self)
	case "archive":
		return r.planArchive(ctx, rt, self)
	}
	return nil, &engine.InvalidError{Err: fmt.Errorf("kind: unknown kind of toolchain %q", r.Kind)}
}

// check refuses attributes that this kind has no use for, and variables that none can be named.
func (r *Toolchain) check() error {
	archive := r.Kind == "archive"
	switch {
	case r.Version == "" && !archive:
		return fmt.Errorf("version: a toolchain of kind %q needs one, such as \"latest\"", r.Kind)
	case archive && r.Archives == nil:
		return errors.New(`archives: a toolchain of kind "archive" needs them`)
	case !archive && (r.Archives != nil || r.Strip != nil || r.Bin != ""):
		return fmt.Errorf("archives, strip and bin are for kind \"archive\", not %q", r.Kind)
	case len(r.Components) > 0 && r.Kind != "rust" && r.Kind != "node":
		return fmt.Errorf("components: a toolchain of kind %q has none", r.Kind)
	}
	for name := range r.Env {
		if badName(name) || name == "PATH" {
			return fmt.Errorf("env: %q can't be set: it is no name of a variable, or the one that bin is for", name)
		}
	}
	return nil
}

// environment is the fact env: own, which the kind needs, and what the target adds.
func (r *Toolchain) environment(own map[string]string) string {
	all := map[string]string{}
	for _, m := range []map[string]string{own, r.Env} {
		for name, value := range m {
			all[name] = value
		}
	}
	text, _ := json.Marshal(all) // strings only
	return string(text)
}

// timeout is that of an attempt.
func (r *Toolchain) timeout() time.Duration {
	if r.Timeout == 0 {
		return fetchTimeout
	}
	return r.Timeout
}

// ask returns the answer to a question about the outside world, which is pinned under request.
func (r *Toolchain) ask(ctx context.Context, rt *Runtime, self Self, request string, answer func(ctx context.Context) (string, error)) (string, error) {
	label := self.Instance.Target.Label
	if pinned, ok := rt.Pins.Pin(label, request); ok {
		return pinned, nil
	}
	q := &toolQuestion{answer: answer, timeout: r.Timeout}
	o := self.View.Perform(ctx, "what is "+request, &engine.Plan{Action: q, Pool: engine.NetPool, Pools: r.Pool, Retries: r.retries(netRetries)})
	if o.Err != nil {
		return "", o.Err
	}
	text := o.Result.Facts["answer"]
	if text == "" {
		return "", nil
	}
	return text, rt.Pins.SetPin(label, request, text)
}

// A toolQuestion is the action that asks for what is pinned. Its result is never stored: what lasts is the pin.
type toolQuestion struct {
	answer  func(ctx context.Context) (string, error)
	timeout time.Duration
}

func (q *toolQuestion) Key() engine.Key  { return engine.Key{} }
func (q *toolQuestion) Preimage() []byte { return nil }

func (q *toolQuestion) Do(ctx context.Context, _ func(engine.Event)) (*engine.Result, error) {
	ctx, done := withTimeout(ctx, q.timeout)
	answer, err := q.answer(ctx)
	if err := done(err); err != nil {
		return nil, err
	}
	return &engine.Result{Facts: map[string]string{"answer": answer}}, nil
}

// A toolAnswer is what a version stands for, as it is pinned.
type toolAnswer struct {
	Version string     `json:"version"`
	Files   []toolFile `json:"files"`
}

// A toolFile is an archive of a toolchain. Its checksum is written as in a pin; its address names no mirror.
type toolFile struct {
	Name     string `json:"name,omitempty"`
	Address  string `json:"address"`
	Checksum string `json:"checksum"`
}

// askFiles is ask for a question whose answer is a toolAnswer.
func (r *Toolchain) askFiles(ctx context.Context, rt *Runtime, self Self, request string, answer func(ctx context.Context) (*toolAnswer, error)) (*toolAnswer, error) {
	text, err := r.ask(ctx, rt, self, request, func(ctx context.Context) (string, error) {
		a, err := answer(ctx)
		if err != nil {
			return "", err
		}
		data, err := json.Marshal(a)
		return string(data), err
	})
	if err != nil {
		return nil, err
	}
	var a toolAnswer
	if err := json.Unmarshal([]byte(text), &a); err != nil || a.Version == "" || len(a.Files) == 0 {
		return nil, errors.Join(fmt.Errorf("the pinned answer for %s is none", request), err)
	}
	return &a, nil
}

// pickVersion returns the one of all that want stands for: itself, the highest in a range, or the highest of all for "latest". Those that
// are no versions of a release are taken only by name.
func pickVersion(what, want string, all []string) (string, error) {
	if slices.Contains(all, want) {
		return want, nil
	}
	text := want
	if want == "latest" {
		text = "*"
	}
	allowed, err := semver.NewConstraint(text)
	if err != nil {
		return "", &engine.InvalidError{Err: fmt.Errorf("version: %q is no version of %s, no range, and not \"latest\"", want, what)}
	}
	best, found := (*semver.Version)(nil), ""
	for _, v := range all {
		if sv, err := semver.NewVersion(v); err == nil && allowed.Check(sv) && sv.Prerelease() == "" && (best == nil || sv.GreaterThan(best)) {
			best, found = sv, v
		}
	}
	if found == "" {
		text := fmt.Sprintf("no %s %s for %s", what, want, platform)
		if len(all) > 0 {
			text += "; there are " + strings.Join(nearVersions(all, want), ", ")
		}
		return "", &engine.UnavailableError{Err: errors.New(text)}
	}
	return found, nil
}
