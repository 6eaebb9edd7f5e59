package rules

import (
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
	file, err := os.CreateTemp(f.rt.Temp, "download-*")
	if err != nil {
		return nil, err
	}
	defer func() {
		_ = file.Close()
		_ = os.Remove(file.Name())
	}()
	var got *received
	err = registry.Try(ctx, mirrors, func(url string) error {
		got, err = f.verified(ctx, url, file)
		return err
	})
	if err != nil {
		return nil, f.described(err)
	}
	return f.result(ctx, file, got, begun)
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

// received is a download that lies in a file.
type received struct {
	hashes *hashes
	size   int64
}

// verified downloads url to file. A download that is not what it should be is tried once more from nothing: then it was not the
// network.
func (f *fetch) verified(ctx context.Context, url string, file *os.File) (*received, error) {
	got, err := f.once(ctx, url, file)
	if _, mismatch := errors.AsType[*mismatchError](err); mismatch && ctx.Err() == nil {
		got, err = f.once(ctx, url, file)
	}
	return got, err
}

func (f *fetch) once(ctx context.Context, url string, file *os.File) (*received, error) {
	if err := file.Truncate(0); err != nil {
		return nil, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	got := &received{hashes: newHashes(f.want)}
	var err error
	if got.size, err = f.copy(ctx, url, io.MultiWriter(file, got.hashes)); err != nil || f.want.isZero() {
		return got, err
	}
	have, err := got.hashes.of(f.want.function, file)
	if err != nil || have == f.want {
		return got, err
	}
	shown := url
	if resolver(f.rt, f.urls[0]) != nil {
		shown = f.urls[0]
	}
	return nil, &mismatchError{url: shown, want: f.want, got: have, size: got.size, where: f.self.Where, target: f.self.Instance.Target.Label.Name, pinned: f.pinned}
}

// copy writes what url names to w and returns its size.
func (f *fetch) copy(ctx context.Context, url string, w io.Writer) (int64, error) {
	source, ok := f.local[url]
	if !ok {
		return f.send(ctx, url, w)
	}
	r, err := f.rt.Store.Open(ctx, source.Digest)
	if errors.Is(err, cas.ErrNotFound) {
		return 0, &engine.LostError{Digest: source.Digest, Err: err}
	}
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(w, r)
	return n, errors.Join(err, r.Close())
}

// send asks a server for url and writes the answer to w. An answer that holds a secret which was sent would be kept, so it is refused.
func (f *fetch) send(ctx context.Context, url string, w io.Writer) (int64, error) {
	headers, secrets, err := engine.RevealAll(ctx, f.headers)
	if err != nil {
		return 0, err
	}
	finder := mask.New(secrets).Finder()
	if len(secrets) > 0 {
		w = io.MultiWriter(w, finder)
	}
	n, err := f.rt.Client.Copy(ctx, w, download.Request{URL: url, Headers: headers, Timeout: f.timeout, Local: true})
	if err == nil && finder.Found() {
		return n, errEcho
	}
	return n, err
}

// errEcho says that an answer can't be kept.
var errEcho = errors.New("the answer holds a secret that was sent, and it would be kept")

// result stores what file holds.
func (f *fetch) result(ctx context.Context, file *os.File, got *received, begun time.Time) (*engine.Result, error) {
	out, err := f.artifact(ctx, file)
	if err != nil {
		return nil, err
	}
	if f.want.isZero() {
		if err := f.setPin(file, got); err != nil {
			return nil, err
		}
	}
	facts := map[string]string{
		"url": f.urls[0], "size": strconv.FormatInt(got.size, 10),
		"sha256": hex.EncodeToString(got.hashes.sha256.Sum(nil)), "blake3": hex.EncodeToString(got.hashes.blake3.Sum(nil)),
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
		return engine.Artifact{}, fmt.Errorf("unpacking %s: %w", f.urls[0], err)
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

// setPin pins what was found: h1: for a Go module, which another proxy may have packed differently, else sha256.
func (f *fetch) setPin(file *os.File, got *received) error {
	function := "sha256"
	if strings.HasPrefix(f.urls[0], "go:") {
		function = "h1"
	}
	c, err := got.hashes.of(function, file)
	if err != nil {
		return err
	}
	return f.rt.Pins.SetPin(f.self.Instance.Target.Label, f.request(), c.String())
}
