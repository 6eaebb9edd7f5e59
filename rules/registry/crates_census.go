package registry

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
	"golang.org/x/sync/errgroup"

	"cbuild/engine"
	"cbuild/rules/download"
)

const (
	// dumpTime bounds the download of the dump of crates.io's database, which has more than a gigabyte.
	dumpTime = 2 * time.Hour
	// maxCrates bounds how many crates are kept in memory. There are some 200,000.
	maxCrates = 4 << 20
)

// census is the start over all crates.
func (c *Crates) census(args engine.Object) ([]Start, error) {
	if args["census"] != true {
		return nil, errors.New("census: want true")
	}
	if args["crates"] != nil {
		return nil, errors.New("either crates or census = true")
	}
	if v := args["versions"]; v != nil && v != "latest" {
		return nil, errors.New("versions: a census has the latest ones only; ask with crates for those that you need")
	}
	least, err := count(args, "min_downloads")
	if err != nil {
		return nil, err
	}
	top, err := count(args, "top")
	if err != nil {
		return nil, err
	}
	request := fmt.Sprintf("crates.io:census min_downloads=%d top=%d", least, top)
	pages := func(ctx context.Context) iter.Seq2[Page, error] {
		return func(yield func(Page, error) bool) {
			d, err := c.dump(ctx)
			if err != nil {
				yield(Page{}, fmt.Errorf("census: %w", err))
				return
			}
			if !yield(Page{Request: "crates.io:db-dump " + d.name + " sha256:" + d.sha256}, nil) {
				return
			}
			for page, err := range pagesOf(request, d.items(least, top)) {
				if !yield(page, err) {
					return
				}
			}
		}
	}
	return []Start{{Request: request, Pages: pages}}, nil
}

// count returns the argument name, a whole number; 0 if it is absent.
func count(args engine.Object, name string) (int64, error) {
	switch v := args[name].(type) {
	case nil:
		return 0, nil
	case int64:
		if v >= 0 {
			return v, nil
		}
	case float64:
		if v >= 0 && v == float64(int64(v)) {
			return int64(v), nil
		}
	}
	return 0, fmt.Errorf("%s: want a whole number", name)
}

// A cratesDump is what is kept of the dump: of each crate one version.
type cratesDump struct {
	name   string // of its directory, which is when it was made
	sha256 string
	crates map[string]*dumpedCrate // by id
}

// A dumpedCrate is a crate of the dump, with its latest version.
type dumpedCrate struct {
	name      string
	downloads int64
	latest    *crateVersion
}

// dump downloads the dump and reads it as it comes: what is not needed passes by.
func (c *Crates) dump(ctx context.Context) (*cratesDump, error) {
	config, err := c.configuration(ctx)
	if err != nil {
		return nil, err
	}
	place, ok := strings.CutSuffix(config.dl, "/crates")
	if !ok {
		return nil, errors.New("where is the dump of the database? It lies beside the downloads of crates.io, and the index has them elsewhere")
	}
	hash := sha256.New()
	r, w := io.Pipe()
	d := &cratesDump{crates: map[string]*dumpedCrate{}}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		_, err := c.opts.Client.Copy(ctx, io.MultiWriter(hash, w), download.Request{URL: place + "/db-dump.tar.gz", Timeout: dumpTime})
		w.CloseWithError(err)
		return err
	})
	group.Go(func() error {
		err := d.read(r)
		if err == nil {
			_, err = io.Copy(io.Discard, r) // for the hash
		}
		r.CloseWithError(err)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	d.sha256 = hex.EncodeToString(hash.Sum(nil))
	return d, nil
}

// read reads data/crates.csv, crate_downloads.csv and versions.csv out of the dump, in whatever order.
func (d *cratesDump) read(r io.Reader) error {
	z, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("the dump: %w", err)
	}
	t := tar.NewReader(z)
	seen := map[string]bool{}
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("the dump: %w", err)
		}
		dir, file := path.Split(path.Clean(h.Name))
		use := map[string]func(map[string]string) error{"crates.csv": d.crate, "crate_downloads.csv": d.counted, "versions.csv": d.version}[file]
		if use == nil || path.Base(dir) != "data" {
			continue
		}
		seen[file] = true
		d.name = path.Base(path.Dir(path.Clean(dir)))
		if err := table(t, use); err != nil {
			return fmt.Errorf("the dump: %s: %w", file, err)
		}
	}
	if !seen["crates.csv"] || !seen["versions.csv"] {
		return errors.New("the dump has no data/crates.csv and data/versions.csv")
	}
	return nil
}

// table calls use with each row of a CSV file, by the names of its columns. The map is good until use returns.
func table(r io.Reader, use func(map[string]string) error) error {
	rows := csv.NewReader(r)
	rows.ReuseRecord = true
	rows.FieldsPerRecord = -1
	first, err := rows.Read()
	if err != nil {
		return err
	}
	names := slices.Clone(first)
	row := make(map[string]string, len(names))
	for {
		fields, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for i, name := range names {
			row[name] = ""
			if i < len(fields) {
				row[name] = fields[i]
			}
		}
		if err := use(row); err != nil {
			return err
		}
	}
}

// of returns the crate with an id, whichever file names it first.
func (d *cratesDump) of(id string) (*dumpedCrate, error) {
	if c := d.crates[id]; c != nil {
		return c, nil
	}
	if len(d.crates) >= maxCrates {
		return nil, fmt.Errorf("more than %d crates", maxCrates)
	}
	c := &dumpedCrate{}
	d.crates[strings.Clone(id)] = c
	return c, nil
}

func (d *cratesDump) crate(row map[string]string) error {
	c, err := d.of(row["id"])
	if err != nil {
		return err
	}
	if crateName.MatchString(row["name"]) {
		c.name = strings.Clone(row["name"])
	}
	if n, err := strconv.ParseInt(row["downloads"], 10, 64); err == nil && n > 0 {
		c.downloads = n // where older dumps have them
	}
	return nil
}

func (d *cratesDump) counted(row map[string]string) error {
	c, err := d.of(row["crate_id"])
	if err != nil {
		return err
	}
	if n, err := strconv.ParseInt(row["downloads"], 10, 64); err == nil && n > 0 {
		c.downloads = n
	}
	return nil
}

// version keeps a version if it is the latest so far: as of the index, releases come before pre-releases, and yanked ones are none.
func (d *cratesDump) version(row map[string]string) error {
	sum := strings.ToLower(row["checksum"])
	parsed, err := semver.StrictNewVersion(row["num"])
	if err != nil || !isSHA256(sum) || row["yanked"] == "t" || row["yanked"] == "true" {
		return nil //nolint:nilerr // nobody can use it
	}
	c, err := d.of(row["crate_id"])
	if err != nil {
		return err
	}
	if old := c.latest; old != nil {
		released, before := parsed.Prerelease() == "", old.parsed.Prerelease() == ""
		if before && !released || before == released && parsed.Compare(old.parsed) <= 0 {
			return nil
		}
	}
	num := strings.Clone(row["num"])
	if parsed, err = semver.StrictNewVersion(num); err == nil {
		c.latest = &crateVersion{Vers: num, Cksum: strings.Clone(sum), parsed: parsed}
	}
	return nil
}

// items yields the crates with at least so many downloads, the top ones only if top is not 0, those with the most downloads first.
func (d *cratesDump) items(least, top int64) iter.Seq[engine.Item] {
	all := slices.DeleteFunc(slices.Collect(maps.Values(d.crates)), func(c *dumpedCrate) bool {
		return c.name == "" || c.latest == nil || c.downloads < least
	})
	slices.SortFunc(all, func(a, b *dumpedCrate) int {
		return cmp.Or(cmp.Compare(b.downloads, a.downloads), strings.Compare(a.name, b.name))
	})
	if top > 0 && int64(len(all)) > top {
		all = all[:top]
	}
	return func(yield func(engine.Item) bool) {
		for _, c := range all {
			v := *c.latest
			v.Name, v.downloads = c.name, c.downloads
			if !yield(v.item()) {
				return
			}
		}
	}
}
