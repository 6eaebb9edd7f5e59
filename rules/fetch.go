package rules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"cbuild/engine"
	"cbuild/rules/archive"
)

// Fetch are the attributes of a fetch: a download.
type Fetch struct {
	Common
	URL        engine.Value                   `hcl:"url,required" type:"string or list of strings" key:"no" doc:"Address (http, https, relative to a registry, or file: in the workspace), or a list of mirrors of it. null is unavailable."`
	SHA256     *string                        `hcl:"sha256" doc:"Expected SHA-256, in hexadecimal."`
	BLAKE3     *string                        `hcl:"blake3" doc:"Expected BLAKE3, in hexadecimal."`
	Integrity  *string                        `hcl:"integrity" doc:"Expected digest as in HTML (sha256-…, sha384-…, sha512-…), or h1: of a Go module."`
	Unpack     engine.Value                   `hcl:"unpack" type:"bool or string" default:"false" doc:"true, or a format: zip, tar, tar.gz, tar.zst, tar.xz, tar.bz2, deb, gem."`
	Strip      engine.Value                   `hcl:"strip" type:"number or string" doc:"How many leading path elements to drop, or a prefix that every entry must have."`
	Executable []string                       `hcl:"executable" doc:"Globs of the files that get the executable bit."`
	Headers    map[string]engine.Confidential `hcl:"headers" key:"no" doc:"Headers of the request; they may hold secrets. With the address they, but for the secrets in them, identify what is pinned."`
}

// fetchTimeout is the longest time of a download, unless `timeout` says otherwise.
const fetchTimeout = 5 * time.Minute

// treeName is the name of an artifact that was unpacked.
const treeName = "tree"

// Plan implements Spec. With a checksum, from the attributes or a pin, the key is that and what is made of the download, not where it
// comes from. Without one the download is made first and its checksum pinned under the address; then it is keyed like any other. A
// file of the workspace is its own checksum.
func (r *Fetch) Plan(ctx context.Context, rt *Runtime, self Self) (*engine.Plan, error) {
	urls, err := r.urls(rt)
	if err != nil {
		return nil, &engine.InvalidError{Err: err}
	}
	if len(urls) == 0 {
		return nil, &engine.UnavailableError{Err: fmt.Errorf("%s: the registry does not have it", cmpOr(self.Instance.Key, self.Instance.Name()))}
	}
	urls, local, err := localFiles(ctx, rt, self, urls)
	if err != nil {
		return nil, err
	}
	f, err := r.download(rt, self, urls)
	if err != nil {
		return nil, &engine.InvalidError{Err: err}
	}
	f.local = local
	p := engine.Plan{
		Action: f, Pool: engine.NetPool, Pools: r.Pool, Retries: r.retries(netRetries),
		Shape: engine.OutSpec{Path: f.name, Dir: f.unpack != nil},
		Ahead: sizeOf,
	}
	if len(local) == len(urls) {
		p.Pool, p.Pools, p.Trivial = engine.NoPool, nil, true
	}
	if file, ok := local[urls[0]]; ok && f.want.isZero() {
		f.want = checksum{"blake3", file.Digest.Hex()}
	}
	if f.want.isZero() {
		if err := f.usePin(); err != nil {
			return nil, err
		}
	}
	return f.plan(ctx, p)
}

// plan returns p, the plan for f. If nothing says what the download should be, it is made now, so that it can be recorded under the
// key of what it turned out to be, and the next build finds it.
func (f *fetch) plan(ctx context.Context, p engine.Plan) (*engine.Plan, error) {
	if !f.want.isZero() {
		return &p, nil
	}
	o := f.self.View.Perform(ctx, f.self.Instance.Name(), &p)
	if o.Err != nil {
		return nil, o.Err
	}
	if err := f.usePin(); err != nil {
		return nil, err
	}
	f.had = o.Result
	p.Pool, p.Pools, p.Always, p.Fresh = engine.NoPool, nil, true, true // the work is done, and was done in this build
	return &p, nil
}

// localFiles stores those of the addresses that are files of the workspace. One that does not exist is left out if there are others.
func localFiles(ctx context.Context, rt *Runtime, self Self, urls []string) (left []string, local map[string]engine.Artifact, err error) {
	var missing error
	for _, u := range urls {
		path, ok := strings.CutPrefix(u, "file:")
		if !ok {
			left = append(left, u)
			continue
		}
		if unescaped, err := url.PathUnescape(path); err == nil {
			path = unescaped
		}
		file, err := rt.Sources.Source(ctx, self.Dir, path)
		switch {
		case err == nil && file.Kind == engine.TreeKind:
			return nil, nil, invalidf("url: %q is a directory: name it in inputs", u)
		case errors.As(err, new(*engine.InvalidError)) && len(urls) > 1:
			missing = attributed("url", err)
			continue
		case err != nil:
			return nil, nil, attributed("url", err)
		}
		if local == nil {
			local = make(map[string]engine.Artifact)
		}
		local[u] = file
		left = append(left, u)
	}
	if len(left) == 0 {
		return nil, nil, missing
	}
	return left, local, nil
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// sizeOf returns the size of a download.
func sizeOf(r *engine.Result) int64 {
	n, _ := strconv.ParseInt(r.Facts["size"], 10, 64)
	return n
}

// urls returns the addresses, of which there are none if the attribute is null.
func (r *Fetch) urls(rt *Runtime) ([]string, error) {
	list, ok := r.URL.([]engine.Value)
	if !ok {
		list = []engine.Value{r.URL}
	}
	var urls []string
	for _, v := range list {
		if v == nil {
			continue
		}
		s, ok := v.(string)
		if !ok {
			return nil, errors.New("url: want a string or a list of strings")
		}
		if err := checkAddress(rt, s); err != nil {
			return nil, err
		}
		urls = append(urls, s)
	}
	return urls, nil
}

func checkAddress(rt *Runtime, s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return fmt.Errorf("url: %w", err)
	}
	if _, ok := u.User.Password(); ok {
		return errors.New("url: a password would stand in the lock file and in the store: send it in headers, or write it into a netrc")
	}
	switch {
	case u.Scheme == "http" || u.Scheme == "https":
		if u.Host == "" {
			return fmt.Errorf("url: %q names no host", s)
		}
		return nil
	case u.Scheme == "file" && strings.HasPrefix(s, "file:/") && (!strings.HasPrefix(s, "file://") || strings.HasPrefix(s, "file:///")):
		return fmt.Errorf("url: %q is not in the workspace: write file:PATH in the package, or file://DIR/PATH from the workspace's root", s)
	case u.Scheme == "file":
		return nil
	case resolver(rt, s) != nil:
		return nil
	}
	return fmt.Errorf("url: %q is not an http or https address, and no registry has such addresses", s)
}

// download returns the action for the attributes.
func (r *Fetch) download(rt *Runtime, self Self, urls []string) (*fetch, error) {
	want, err := r.checksum()
	if err != nil {
		return nil, err
	}
	f := &fetch{rt: rt, self: self, urls: urls, headers: r.Headers, want: want, timeout: r.Timeout, most: int64(r.Disk), name: lastElement(urls[0])}
	if f.most <= 0 {
		f.most = maxDownload
	}
	if f.timeout == 0 {
		f.timeout = fetchTimeout
	}
	format, err := r.format(urls[0])
	if err != nil {
		return nil, err
	}
	if format == "" {
		if r.Strip != nil {
			return nil, errors.New("strip: it says how to unpack: add unpack = true")
		}
		f.executable, err = r.executable(f.name)
		return f, err
	}
	f.name = treeName
	f.unpack = &archive.Options{Format: format, Executable: r.Executable}
	return f, r.strip(f.unpack)
}

// executable reports whether a download that is not unpacked gets the executable bit. A glob that does not mean it means nothing.
func (r *Fetch) executable(name string) (bool, error) {
	for _, g := range r.Executable {
		ok, err := doublestar.Match(g, name)
		if err != nil {
			return false, fmt.Errorf("executable: %q is not a glob", g)
		}
		if ok {
			return true, nil
		}
	}
	if len(r.Executable) > 0 {
		return false, fmt.Errorf("executable: no glob matches %s, which is not unpacked", name)
	}
	return false, nil
}

// format returns the format to unpack, "" if nothing is to be unpacked.
func (r *Fetch) format(address string) (archive.Format, error) {
	switch v := r.Unpack.(type) {
	case nil:
		return "", nil
	case bool:
		if !v {
			return "", nil
		}
		if f, ok := archive.FormatOf(lastElement(address)); ok {
			return f, nil
		}
		return "", fmt.Errorf("unpack: the format of %q can't be told from its name: write it, as in unpack = \"tar.gz\"", lastElement(address))
	case string:
		f, err := archive.ParseFormat(v)
		if err != nil {
			err = fmt.Errorf("unpack: %w", err)
		}
		return f, err
	}
	return "", errors.New("unpack: want true, false or a format")
}

func (r *Fetch) strip(o *archive.Options) error {
	switch v := r.Strip.(type) {
	case nil:
	case string:
		o.Prefix = v
	case int64:
		o.Strip = int(v)
	case float64:
		o.Strip = int(v)
		if float64(o.Strip) != v {
			return errors.New("strip: want a whole number or a prefix")
		}
	default:
		return errors.New("strip: want a number or a prefix")
	}
	if o.Strip < 0 || o.Strip > 100 {
		return errors.New("strip: want a number from 0 to 100")
	}
	return nil
}

// lastElement returns the last element of the path of an address, by which a run sees the file.
func lastElement(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "download"
	}
	name := path.Base(u.Path + u.Opaque)
	if u.Scheme == "file" {
		name = path.Base(strings.TrimPrefix(address, "file:")) // file://DIR/PATH has no host
	}
	if unescaped, err := url.PathUnescape(name); err == nil {
		name = unescaped
	}
	if name == "." || name == ".." || name == "" || strings.ContainsAny(name, "/\x00") {
		return "download"
	}
	return name
}

// request identifies what is asked for a pin: the address and the headers, without what is secret.
func (f *fetch) request() string {
	lines := []string{f.urls[0]}
	for _, name := range slices.Sorted(maps.Keys(f.headers)) {
		lines = append(lines, name+": "+f.headers[name].String())
	}
	return strings.Join(lines, "\n")
}

// usePin takes the checksum that was found at an earlier download, if there is one.
func (f *fetch) usePin() error {
	answer, ok := f.rt.Pins.Pin(f.self.Instance.Target.Label, f.request())
	if !ok {
		return nil
	}
	c, err := parseChecksum(answer)
	if err != nil {
		return fmt.Errorf("the pinned checksum of %s: %w", f.urls[0], err)
	}
	f.want, f.pinned = c, true
	return nil
}
