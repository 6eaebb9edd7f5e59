package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"

	"cbuild/engine"
)

// defaultSumDB is the checksum database of the go command where nothing else is configured.
const defaultSumDB = "sum.golang.org"

// knownSumDB are the keys of databases that can be named without one.
var knownSumDB = map[string]string{
	defaultSumDB: defaultSumDB + "+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
}

// A sumDB is a checksum database.
type sumDB struct {
	key, name string
	// base is where it is asked, beyond all proxies; "" if GOSUMDB does not say.
	base string
}

// parseSumDB reads the value of GOSUMDB: a name or key, and perhaps an address.
func parseSumDB(value string) (*sumDB, error) {
	if value == "sum.golang.google.cn" { // an alias that the go command knows
		value = defaultSumDB + " https://" + value
	}
	fields := strings.Fields(value)
	if len(fields) == 0 || len(fields) > 2 {
		return nil, fmt.Errorf("GOSUMDB: %q: want a name or key, and perhaps an address", value)
	}
	db := &sumDB{key: fields[0]}
	if k := knownSumDB[db.key]; k != "" {
		db.key = k
	}
	verifier, err := note.NewVerifier(db.key)
	if err != nil {
		return nil, fmt.Errorf("GOSUMDB: %q: %w", fields[0], err)
	}
	db.name = verifier.Name()
	if strings.ContainsAny(db.name, " ?#@:\\") || strings.Contains(db.name, "..") || strings.Trim(db.name, "/") != db.name {
		return nil, fmt.Errorf("GOSUMDB: the name %q is not host/path", db.name)
	}
	if len(fields) == 2 {
		db.base = strings.TrimSuffix(fields[1], "/")
	}
	return db, nil
}

const toolchainModule = "golang.org/toolchain"

// h1 returns the checksum of the module's zip file that the checksum database vouches for, or "" where the database is not to be
// asked. For a toolchain it must be, as for the go command: it is a program that everything trusts.
func (g *Go) h1(ctx context.Context, path, version string) (string, error) {
	c, err := g.configuration(ctx)
	if err != nil {
		return "", err
	}
	if path == toolchainModule {
		if c.fileOnly {
			return "", nil
		}
		if c.sumDB == "off" {
			return "", errors.New("the checksum database is disabled by GOSUMDB=off, but no toolchain is used unverified")
		}
	} else if c.sumDB == "off" || module.MatchPrefixPatterns(c.noSumDB, path) {
		return "", nil
	}
	db, err := parseSumDB(c.sumDB)
	if err != nil {
		return "", err
	}
	return g.sums.lookup(ctx, g, db, path, version)
}

// H1 returns the checksum, as "h1:…", of what address names, or "" where the checksum database is not to be asked.
func (g *Go) H1(ctx context.Context, address string) (string, error) {
	path, version, err := parseGoAddress(address)
	if err != nil {
		return "", &engine.InvalidError{Err: err}
	}
	return g.h1(ctx, path, version)
}

// sums is what was seen of checksum databases: tiles, look-ups, and the latest signed tree, in memory or a directory.
type sums struct {
	dir string

	mu    sync.Mutex
	files map[string][]byte // guarded by mu; by name as sumdb.ClientOps has them
	bases map[string]string // guarded by mu; where a database, by name, is asked
}

// lookup asks for one module. If what was kept turns out to be damaged, it asks again without it.
func (s *sums) lookup(ctx context.Context, g *Go, db *sumDB, path, version string) (string, error) {
	var err error
	for _, fresh := range []bool{false, true} {
		// There is a client for each question, since a client keeps errors for ever and knows no context.
		ops := &sumOps{ctx: ctx, g: g, db: db, sums: s, fresh: fresh}
		var lines []string
		lines, err = sumdb.NewClient(ops).Lookup(path, version)
		switch {
		case ctx.Err() != nil:
			return "", ctx.Err()
		case ops.security != "":
			return "", fmt.Errorf("%s@%s: %s", path, version, ops.security)
		case err != nil && ops.err != nil: // Lookup keeps only the text of an error
			return "", fmt.Errorf("checksum database %s: %w", db.name, ops.err)
		case err == nil:
			return h1Line(lines, db, path, version)
		}
	}
	return "", fmt.Errorf("checksum database %s: %w", db.name, err)
}

func h1Line(lines []string, db *sumDB, path, version string) (string, error) {
	for _, line := range lines {
		if h1, ok := strings.CutPrefix(line, path+" "+version+" "); ok && strings.HasPrefix(h1, "h1:") {
			return h1, nil
		}
	}
	return "", fmt.Errorf("checksum database %s: no h1: line for %s@%s", db.name, path, version)
}

// sumOps implements sumdb.ClientOps for one look-up. The client may read several tiles at a time.
type sumOps struct {
	ctx  context.Context //nolint:containedctx // ClientOps has none, and a sumOps lives no longer than a call
	g    *Go
	db   *sumDB
	sums *sums
	// fresh makes it find nothing that was kept but what it wrote itself.
	fresh bool

	mu       sync.Mutex
	wrote    map[string]bool // guarded by mu
	err      error           // guarded by mu; the first error of ReadRemote
	security string          // guarded by mu
}

func (o *sumOps) ReadRemote(path string) ([]byte, error) {
	data, err := o.readRemote(path)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.err == nil {
			o.err = err
		}
	}
	return data, err
}

func (o *sumOps) readRemote(path string) ([]byte, error) {
	base, err := o.sums.base(o.ctx, o.g, o.db)
	if err != nil {
		return nil, err
	}
	return o.g.fetch(o.ctx, base+path)
}

// base returns where db is asked: through the first proxy that says it supports that, else directly. It is kept once it is known.
func (s *sums) base(ctx context.Context, g *Go, db *sumDB) (string, error) {
	if db.base != "" {
		return db.base, nil
	}
	s.mu.Lock()
	base := s.bases[db.name]
	s.mu.Unlock()
	if base != "" {
		return base, nil
	}
	base = "https://" + db.name
	c, err := g.configuration(ctx)
	if err != nil {
		return "", err
	}
	err = Try(ctx, c.proxies, func(proxy string) error {
		through := proxy + "/sumdb/" + db.name
		_, err := g.fetch(ctx, through+"/supported")
		if err == nil {
			base = through
		}
		return err
	})
	if err != nil && !gone(err) && !errors.Is(err, errDirect) && !errors.Is(err, errOff) {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bases == nil {
		s.bases = map[string]string{}
	}
	s.bases[db.name] = base
	return base, nil
}

func (o *sumOps) ReadConfig(file string) ([]byte, error) {
	if file == "key" {
		return []byte(o.db.key), nil
	}
	data, err := o.ReadCache(file)
	if err != nil {
		return nil, nil //nolint:nilerr // an empty tree is what a database is first met with
	}
	return data, nil
}

func (o *sumOps) WriteConfig(file string, old, updated []byte) error {
	if o.readable(file) && !o.sums.unchanged(file, old) {
		return sumdb.ErrWriteConflict
	}
	o.WriteCache(file, updated)
	return nil
}

func (o *sumOps) ReadCache(file string) ([]byte, error) {
	if !o.readable(file) {
		return nil, os.ErrNotExist
	}
	return o.sums.read(file)
}

func (o *sumOps) WriteCache(file string, data []byte) {
	o.mu.Lock()
	if o.wrote == nil {
		o.wrote = map[string]bool{}
	}
	o.wrote[file] = true
	o.mu.Unlock()
	o.sums.write(file, data)
}

func (o *sumOps) readable(file string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.fresh || o.wrote[file]
}

func (o *sumOps) Log(string) {}

func (o *sumOps) SecurityError(msg string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.security = msg
}

// unchanged reports whether file still is old, as far as this process knows.
func (s *sums) unchanged(file string, old []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, ok := s.files[file]
	return !ok || bytes.Equal(now, old)
}

// read returns a kept file. Whatever is read is verified by the client before it is used.
func (s *sums) read(file string) ([]byte, error) {
	s.mu.Lock()
	data, ok := s.files[file]
	s.mu.Unlock()
	if ok {
		return data, nil
	}
	if s.dir == "" || !filepath.IsLocal(file) {
		return nil, os.ErrNotExist
	}
	data, err := os.ReadFile(filepath.Join(s.dir, filepath.FromSlash(file)))
	if err == nil && len(data) == 0 {
		err = os.ErrNotExist // torn by a power cut
	}
	return data, err
}

// write keeps a file. One that can't be written to the directory is lost with the process: this is a cache. Look-ups, of which there
// are many, are in memory only if there is no directory.
func (s *sums) write(file string, data []byte) {
	if s.dir == "" || !strings.Contains(file, "/lookup/") {
		s.mu.Lock()
		if s.files == nil {
			s.files = map[string][]byte{}
		}
		s.files[file] = bytes.Clone(data)
		s.mu.Unlock()
	}
	if s.dir != "" && filepath.IsLocal(file) {
		_ = writeAtomic(filepath.Join(s.dir, filepath.FromSlash(file)), data)
	}
}

func writeAtomic(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
