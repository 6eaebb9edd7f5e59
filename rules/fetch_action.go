package rules

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/internal/mask"
	"cbuild/rules/archive"
	"cbuild/rules/download"
	"cbuild/rules/registry"
)

// A fetch is the action that downloads, verifies and unpacks.
type fetch struct {
	rt      *Runtime
	self    Self
	urls    []string
	local   map[string]engine.Artifact // those of urls that are files of the workspace
	headers map[string]engine.Confidential
	want    checksum // zero if nothing is known yet
	pinned  bool     // whether want is what the lock says
	timeout time.Duration
	most    int64          // how many bytes it may have
	had     *engine.Result // of a download that was made to learn the checksum; good for one Do

	// name is that of the artifact. Unpack is nil where the artifact is the file itself.
	name       string
	executable bool
	unpack     *archive.Options
	// refine, if set, changes the tree before it is stored; shape names that change in the key.
	refine func([]cas.Entry) []cas.Entry
	shape  string
	tool   bool
	facts  map[string]string
	// foreign is set if the address is not the user's own word, but an answer's.
	foreign bool
}

func (f *fetch) builder() *engine.KeyBuilder {
	b := engine.NewKey("fetch", 1)
	b.String("checksum", f.want.String())
	if f.unpack == nil {
		// The name is part of the result, so it must not be that of whoever was first.
		b.String("name", f.name)
		b.Bool("executable", f.executable)
		return b
	}
	b.String("unpack", string(f.unpack.Format))
	b.String("strip", strconv.Itoa(f.unpack.Strip))
	b.String("prefix", strings.Trim(f.unpack.Prefix, "/"))
	b.Strings("executable", f.unpack.Executable)
	b.String("shape", f.shape)
	return b
}

// Key implements engine.Action.
func (f *fetch) Key() engine.Key {
	if f.want.isZero() {
		return engine.Key{}
	}
	return f.builder().Sum()
}

// Preimage implements engine.Action.
func (f *fetch) Preimage() []byte {
	if f.want.isZero() {
		return nil
	}
	return f.builder().Preimage()
}

// Do implements engine.Action.
func (f *fetch) Do(ctx context.Context, _ func(engine.Event)) (*engine.Result, error) {
	if had := f.had; had != nil {
		f.had = nil // if it is to be done again, what it stored was lost
		return had, nil
	}
	begun := time.Now()
	mirrors, err := f.mirrors(ctx)
	if err != nil {
		return nil, err
	}
	got := newHashes(f.want)
	part, err := f.rt.Parts.Open(f.partID(), !f.want.isZero(), f.rt.Temp, got)
	if err != nil {
		return nil, err
	}
	if !f.whole(part, got) { // else only what comes after the download was not done
		err = registry.Try(ctx, mirrors, func(url string) error { return f.verified(ctx, url, part, got) })
	}
	if err != nil {
		_ = part.Close() // what is there of it is good for the next attempt
		return nil, f.described(err)
	}
	r, err := f.result(ctx, part, got, begun)
	if err != nil {
		_ = part.Close()
		return nil, err
	}
	_ = part.Remove()
	return r, nil
}

// whole reports whether part already holds what it should be.
func (f *fetch) whole(part *download.Part, got *hashes) bool {
	if f.want.isZero() || part.Size() == 0 {
		return false
	}
	have, err := got.of(f.want.function, part.File())
	return err == nil && have == f.want
}

// partID is what a download that was broken off is found again by: what it should be, or else what is asked for.
func (f *fetch) partID() string {
	if f.want.isZero() {
		return "request " + f.request()
	}
	return "content " + f.want.String()
}

// described adds the address to an error that does not show it, as an item's address names no host.
func (f *fetch) described(err error) error {
	if resolver(f.rt, f.urls[0]) == nil {
		return err
	}
	if errors.As(err, new(*mismatchError)) {
		return err // it names the address itself
	}
	return fmt.Errorf("%s: %w", f.urls[0], err)
}

// resolver returns the registry that address is relative to, or nil.
func resolver(rt *Runtime, address string) registry.Resolver {
	scheme, _, _ := strings.Cut(address, ":")
	r, _ := rt.Registries[scheme].(registry.Resolver)
	return r
}

// mirrors returns where the file may be had, in the order in which they are tried.
func (f *fetch) mirrors(ctx context.Context) ([]registry.Mirror, error) {
	var all []registry.Mirror
	for _, u := range f.urls {
		if _, local := f.local[u]; local {
			all = append(all, registry.Mirror{URL: u, Any: true, Own: true})
			continue
		}
		if f.rt.Offline {
			continue
		}
		r := resolver(f.rt, u)
		if r == nil {
			all = append(all, registry.Mirror{URL: u, Any: true, Own: true})
			continue
		}
		some, err := r.Mirrors(ctx, u)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	if len(all) == 0 && f.rt.Offline {
		return nil, &engine.TroubleError{Err: fmt.Errorf("%s: %w", f.urls[0], download.ErrOffline)}
	}
	return all, nil
}

// verified downloads url to part. A download that is not what it should be is tried once more from nothing: then it was not the
// network, nor what an earlier attempt left.
func (f *fetch) verified(ctx context.Context, url string, part *download.Part, got *hashes) error {
	err := f.once(ctx, url, part, got)
	if isMismatch(err) && ctx.Err() == nil {
		if err := part.Reset(); err != nil {
			return err
		}
		err = f.once(ctx, url, part, got)
	}
	if isMismatch(err) {
		return errors.Join(err, part.Reset())
	}
	return err
}

func isMismatch(err error) bool {
	_, ok := errors.AsType[*mismatchError](err)
	return ok
}

func (f *fetch) once(ctx context.Context, url string, part *download.Part, got *hashes) error {
	if err := f.copy(ctx, url, part); err != nil || f.want.isZero() {
		return err
	}
	have, err := got.of(f.want.function, part.File())
	if err != nil || have == f.want {
		return err
	}
	shown := url
	if resolver(f.rt, f.urls[0]) != nil {
		shown = f.urls[0]
	}
	return &mismatchError{url: shown, want: f.want, got: have, size: part.Size(), where: f.self.Where, target: f.self.Instance.Target.Label.Name, pinned: f.pinned}
}

// maxDownload is how large a download may be whose target does not say how much disk it needs: what has no end is noticed before the disk
// is full.
const maxDownload = 32 << 30

// copy writes what url names to part.
func (f *fetch) copy(ctx context.Context, url string, part *download.Part) error {
	source, ok := f.local[url]
	if !ok {
		return f.send(ctx, url, part)
	}
	r, err := f.rt.Store.Open(ctx, source.Digest)
	if errors.Is(err, cas.ErrNotFound) {
		return &engine.LostError{Digest: source.Digest, Err: err}
	}
	if err != nil {
		return err
	}
	if err := part.Reset(); err != nil {
		return errors.Join(err, r.Close())
	}
	_, err = io.Copy(part, r)
	return errors.Join(err, r.Close())
}

// send asks a server for url and writes the answer to part. An answer that holds a secret which was sent would be kept, so it is refused.
func (f *fetch) send(ctx context.Context, url string, part *download.Part) error {
	if !f.foreign && len(f.self.Instance.Target.Needs) == 0 {
		f.rt.Client.Declare(url) // nothing but the user's own words went into it
	}
	headers, secrets, err := engine.RevealAll(ctx, f.headers)
	if err != nil {
		return err
	}
	err = f.rt.Client.Download(ctx, part, download.Request{URL: url, Headers: headers, Timeout: f.timeout, Max: f.most, Local: true, Park: true})
	if len(secrets) == 0 {
		return err
	}
	finder := mask.New(secrets).Finder()
	if _, rerr := io.Copy(finder, io.NewSectionReader(part.File(), 0, part.Size())); rerr != nil || finder.Found() {
		return errors.Join(cmp.Or(rerr, errEcho), part.Reset())
	}
	return err
}

// errEcho says that an answer can't be kept.
var errEcho = errors.New("the answer holds a secret that was sent, and it would be kept")

// result stores what part holds.
func (f *fetch) result(ctx context.Context, part *download.Part, got *hashes, begun time.Time) (*engine.Result, error) {
	out, err := f.artifact(ctx, part.File())
	if err != nil {
		return nil, err
	}
	if f.want.isZero() {
		if err := f.setPin(part.File(), got); err != nil {
			return nil, err
		}
	}
	facts := map[string]string{
		"url": f.urls[0], "size": strconv.FormatInt(part.Size(), 10),
		"sha256": hex.EncodeToString(got.sha256.Sum(nil)), "blake3": hex.EncodeToString(got.blake3.Sum(nil)),
	}
	for name, value := range f.facts {
		facts[name] = value
	}
	return &engine.Result{Outs: []engine.Output{{Path: f.name, Artifact: out}}, Facts: facts, Took: time.Since(begun)}, nil
}

func (f *fetch) artifact(ctx context.Context, file *os.File) (engine.Artifact, error) {
	if f.unpack == nil {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return engine.Artifact{}, err
		}
		d, err := f.rt.Store.Put(ctx, file)
		return engine.Artifact{Digest: d, Executable: f.executable, Name: f.name}, err
	}
	entries, err := archive.UnpackFile(ctx, f.rt.Store, file, *f.unpack)
	if err != nil {
		return engine.Artifact{}, f.refused(err)
	}
	if f.refine != nil {
		entries = f.refine(entries)
	}
	d, err := cas.PutTree(ctx, f.rt.Store, entries)
	if err != nil {
		return engine.Artifact{}, fmt.Errorf("unpacking %s: %w", f.urls[0], err)
	}
	return engine.Artifact{Kind: engine.TreeKind, Digest: d, Name: f.name, Tool: f.tool}, nil
}

// refused returns the error for an archive that can't be unpacked. Where its own bytes are to blame, nothing will help but another archive;
// but a damaged one without a checksum may have been damaged on the way.
func (f *fetch) refused(err error) error {
	told := fmt.Errorf("unpacking %s: %w", f.urls[0], err)
	if errors.Is(err, archive.ErrNotUTF8) {
		told = fmt.Errorf("%w, so no tree can hold it: without unpack the archive itself can be used", told)
	}
	if archive.Refused(err) && !(errors.Is(err, archive.ErrDamaged) && f.want.isZero()) {
		return &engine.UnavailableError{Err: told}
	}
	return told
}

// setPin pins what was found: h1: for a Go module, which another proxy may have packed differently, else sha256.
func (f *fetch) setPin(file *os.File, got *hashes) error {
	function := "sha256"
	if strings.HasPrefix(f.urls[0], "go:") {
		function = "h1"
	}
	c, err := got.of(function, file)
	if err != nil {
		return err
	}
	return f.rt.Pins.SetPin(f.self.Instance.Target.Label, f.request(), c.String())
}
