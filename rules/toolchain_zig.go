package rules

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"

	"cbuild/engine"
	"cbuild/rules/archive"
	"cbuild/rules/download"
)

// zigIndex is where the publisher of zig says what there is; CBUILD_ZIG_INDEX names another place.
const zigIndex = "https://ziglang.org/download/index.json"

var zigArch = map[string]string{"amd64": "x86_64", "386": "x86", "arm64": "aarch64", "arm": "armv7a", "ppc64le": "powerpc64le"}

// planZig takes zig from the publisher's index, which has the checksums.
func (r *Toolchain) planZig(ctx context.Context, rt *Runtime, self Self) (*engine.Plan, error) {
	system := runtime.GOOS
	if system == "darwin" {
		system = "macos"
	}
	here := cmpOr(zigArch[runtime.GOARCH], runtime.GOARCH) + "-" + system
	answer, err := r.askFiles(ctx, rt, self, "zig "+r.Version+" "+platform, func(ctx context.Context) (*toolAnswer, error) {
		return r.askZig(ctx, rt, here)
	})
	if err != nil {
		return nil, err
	}
	p, err := r.newPart(rt, self, answer.Files[0].Address, answer.Files[0].Checksum, archive.Options{Strip: 1})
	if err != nil {
		return nil, err
	}
	p.fetch.foreign = true
	facts := map[string]string{"version": answer.Version, "bin": ".", "env": r.environment(nil)}
	return r.planSet(&toolset{rt: rt, layout: "zig", parts: []*toolPart{p}, facts: facts}), nil
}

func (r *Toolchain) askZig(ctx context.Context, rt *Runtime, here string) (*toolAnswer, error) {
	body, err := askPublisher(ctx, rt, rt.env("CBUILD_ZIG_INDEX", zigIndex))
	if err != nil {
		return nil, err
	}
	var index map[string]map[string]json.RawMessage
	if err := json.Unmarshal(body, &index); err != nil {
		return nil, fmt.Errorf("the index of zig: %w", err)
	}
	var all []string
	for _, v := range slices.Sorted(maps.Keys(index)) {
		if _, ok := index[v][here]; ok && v != "master" {
			all = append(all, v)
		}
	}
	version, err := pickVersion("zig", r.Version, all)
	if err != nil {
		return nil, err
	}
	var build struct{ Tarball, Shasum string }
	if err := json.Unmarshal(index[version][here], &build); err != nil {
		return nil, fmt.Errorf("the index of zig: %s: %w", version, err)
	}
	return &toolAnswer{Version: version, Files: []toolFile{{Address: build.Tarball, Checksum: "sha256:" + build.Shasum}}}, nil
}

// maxIndex is how long what a publisher says of its versions may be.
const maxIndex = 64 << 20

// askPublisher gets an address that is built in, or that this machine is configured for.
func askPublisher(ctx context.Context, rt *Runtime, address string) ([]byte, error) {
	rt.Client.Declare(address)
	return rt.Client.Bytes(ctx, download.Request{URL: address, Max: maxIndex, Timeout: fetchTimeout, Park: true})
}

// env returns a variable of the environment, or preset.
func (rt *Runtime) env(name, preset string) string {
	if rt.Env != nil {
		if v, ok := rt.Env(name); ok && v != "" {
			return v
		}
	}
	return preset
}
