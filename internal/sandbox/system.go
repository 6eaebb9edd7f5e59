package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"cbuild/cas"
	"cbuild/engine"
)

// System describes this machine for keys: what a command may use of it without having declared it as an input. All methods may be
// called concurrently.
type System struct {
	root     string
	packages func() (*packages, error)

	mu   sync.Mutex
	memo map[string]description // guarded by mu
}

type description struct {
	lines    []string
	portable bool
	err      error
}

// searchPath is where programs are looked up, as in the environment of every run.
const searchPath = "/usr/bin:/bin"

// NewSystem returns the description of the machine whose root file system is at root, "/" but for tests.
func NewSystem(root string) *System {
	return &System{
		root:     root,
		packages: sync.OnceValues(func() (*packages, error) { return readPackages(root) }),
		memo:     make(map[string]description),
	}
}

// Host returns the lines for the system "host": operating system, architecture and release, the content of the programs, and name
// and version of the packages that own them, with their dependencies, and of those named besides. Without a package database the
// description is not portable.
func (s *System) Host(_ context.Context, programs, names []string) (lines []string, portable bool, err error) {
	memo := strings.Join(programs, "\x00") + "\x01" + strings.Join(names, "\x00")
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.memo[memo]
	if !ok {
		d.lines, d.portable, d.err = s.describe(programs, names)
		s.memo[memo] = d
	}
	return d.lines, d.portable, d.err
}

func (s *System) describe(programs, names []string) ([]string, bool, error) {
	lines := []string{"os " + runtime.GOOS, "arch " + runtime.GOARCH}
	db, err := s.packages()
	if err != nil {
		return nil, false, engine.Transient(err)
	}
	if db.release != "" {
		lines = append(lines, "release "+db.release)
	}
	roots := slices.Clone(names)
	for _, name := range programs {
		line, files, err := program(s.root, name)
		if err != nil {
			return nil, false, err
		}
		lines = append(lines, line)
		for _, owner := range db.owners(files) {
			// A C compiler does not depend on the headers of the C library, but is no use without them.
			roots = append(append(roots, owner), db.suggest[owner]...)
		}
	}
	for _, name := range names {
		if !db.has(name) {
			return nil, false, &engine.InvalidError{Err: fmt.Errorf("system: package %s is not installed on this machine", name)}
		}
	}
	return append(lines, db.closure(roots)...), db.release != "" && len(db.version) > 0, nil
}

// program returns the line for a program, and the paths by which a package may own it: with every link on the way.
func program(root, name string) (line string, files []string, err error) {
	path, err := findProgram(root, name)
	if err != nil {
		return "", nil, err
	}
	at := path
	for {
		files = append(files, at)
		to, err := os.Readlink(filepath.Join(root, at))
		if err != nil {
			break
		}
		if at = from(filepath.Dir(at), to); slices.Contains(files, at) {
			return "", nil, notFound(name)
		}
	}
	if real, err := filepath.EvalSymlinks(filepath.Join(root, at)); err == nil {
		files = append(files, "/"+strings.TrimPrefix(strings.TrimPrefix(real, root), "/"))
	}
	f, err := os.Open(filepath.Join(root, at))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, notFound(name)
	}
	if err != nil {
		return "", nil, engine.Transient(err)
	}
	defer f.Close()
	h := cas.BLAKE3.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return "", nil, engine.Transient(err)
	}
	return "program " + name + " " + cas.Sum(cas.BLAKE3, h, n).String(), files, nil
}

// findProgram returns the path of a program below root. It may be a link.
func findProgram(root, name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	for _, dir := range filepath.SplitList(searchPath) {
		p := filepath.Join(dir, name)
		info, err := os.Lstat(filepath.Join(root, p))
		if err == nil && (info.Mode()&fs.ModeSymlink != 0 || info.Mode().IsRegular() && info.Mode()&0o111 != 0) {
			return p, nil
		}
	}
	return "", notFound(name)
}

func notFound(name string) error {
	return &engine.InvalidError{Err: fmt.Errorf("command not found: %s (PATH inside a run is %s, after its toolchains)", name, searchPath)}
}

// packages is what the package database of a machine says. Its maps are empty where there is none.
type packages struct {
	release string
	version map[string]string   // by name
	depends map[string][]string // by name; alternatives are listed one after the other
	suggest map[string][]string // by name: what the distribution installs with it unless told otherwise
	owner   map[string]string   // path → name, of files in directories of programs
	provide map[string][]string // virtual name → names
}

// readPackages reads the databases of dpkg and apk, whichever is there.
func readPackages(root string) (*packages, error) {
	p := &packages{version: map[string]string{}, depends: map[string][]string{}, suggest: map[string][]string{}, owner: map[string]string{}, provide: map[string][]string{}}
	p.release = release(filepath.Join(root, "etc/os-release"))
	err := p.readDpkg(filepath.Join(root, "var/lib/dpkg"))
	if errors.Is(err, fs.ErrNotExist) {
		err = p.readApk(filepath.Join(root, "lib/apk/db/installed"))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	return p, err
}

// release returns ID and VERSION_ID of an os-release file.
func release(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			fields[k] = strings.Trim(v, `"'`)
		}
	}
	return strings.TrimSpace(fields["ID"] + " " + fields["VERSION_ID"])
}

// readDpkg reads the status file, and the file lists for what lies in directories of programs.
func (p *packages) readDpkg(dir string) error {
	f, err := os.Open(filepath.Join(dir, "status"))
	if err != nil {
		return err
	}
	defer f.Close()
	fields := map[string]string{}
	keep := func() {
		if name := fields["Package"]; strings.HasSuffix(fields["Status"], " installed") {
			p.add(name, fields["Version"], splitNames(fields["Pre-Depends"]+","+fields["Depends"]), splitNames(fields["Provides"]))
			p.suggest[name] = splitNames(fields["Recommends"])
		}
		clear(fields)
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, ok := bytes.Cut(lines.Bytes(), []byte(": "))
		switch {
		case len(lines.Bytes()) == 0:
			keep()
		case ok && slices.Contains(dpkgFields, string(name)):
			fields[string(name)] = string(value)
		}
	}
	keep()
	if err := lines.Err(); err != nil {
		return err
	}
	return p.readDpkgLists(filepath.Join(dir, "info"))
}

// dpkgFields are the fields that are read. Each is one line, and the lines of others that go on begin with a space.
var dpkgFields = []string{"Package", "Status", "Version", "Pre-Depends", "Depends", "Recommends", "Provides"}

// readDpkgLists reads the lists of files of all packages: hundreds of files, of which only the lines for programs are looked at.
func (p *packages) readDpkgLists(dir string) error {
	lists, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	for _, list := range lists {
		name, ok := strings.CutSuffix(list.Name(), ".list")
		if !ok {
			continue
		}
		name, _, _ = strings.Cut(name, ":")
		f, err := os.Open(filepath.Join(dir, list.Name()))
		if err != nil {
			return err
		}
		buf.Reset()
		_, err = buf.ReadFrom(f)
		f.Close()
		if err != nil {
			return err
		}
		p.ownPrograms(buf.Bytes(), name)
	}
	return nil
}

// ownPrograms makes name the owner of the paths in list, one a line, that may be programs or stand for some.
func (p *packages) ownPrograms(list []byte, name string) {
	for _, mark := range []string{"bin/", "/etc/alternatives/"} {
		for rest := list; ; {
			i := bytes.Index(rest, []byte(mark))
			if i < 0 {
				break
			}
			begin := bytes.LastIndexByte(rest[:i], '\n') + 1
			line, after, _ := bytes.Cut(rest[begin:], []byte("\n"))
			p.owner[string(line)] = name
			rest = after
		}
	}
}

// readApk reads Alpine's database: paragraphs of one-letter fields, F a directory and R a file in it.
func (p *packages) readApk(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var name, version, dir string
	var depends, provides []string
	keep := func() {
		p.add(name, version, trimVersions(depends), trimVersions(provides))
		name, version, dir, depends, provides = "", "", "", nil, nil
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		switch field {
		case "P":
			name = value
		case "V":
			version = value
		case "D":
			depends = strings.Fields(value)
		case "p":
			provides = strings.Fields(value)
		case "F":
			dir = value
		case "R":
			if path := "/" + dir + "/" + value; strings.Contains(path, "bin/") {
				p.owner[path] = name
			}
		case "":
			keep()
		}
	}
	keep()
	return lines.Err()
}

// trimVersions cuts the constraint off each name.
func trimVersions(names []string) []string {
	for i, n := range names {
		if at := strings.IndexAny(n, "<>=~"); at > 0 {
			names[i] = n[:at]
		}
	}
	return names
}

func (p *packages) add(name, version string, depends, provides []string) {
	if name == "" {
		return
	}
	p.version[name] = version
	p.depends[name] = depends
	for _, v := range provides {
		p.provide[v] = append(p.provide[v], name)
	}
}

// splitNames returns the names in a dependency field, without versions and architectures.
func splitNames(field string) []string {
	var names []string
	for _, alternative := range strings.FieldsFunc(field, func(r rune) bool { return r == ',' || r == '|' }) {
		name, _, _ := strings.Cut(strings.TrimSpace(alternative), " ")
		name, _, _ = strings.Cut(name, ":")
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

func (p *packages) has(name string) bool { return p.version[name] != "" }

// owners returns the packages that own any of the files. On a merged /usr a package may list /bin/x for /usr/bin/x.
func (p *packages) owners(files []string) []string {
	var names []string
	for _, f := range files {
		for _, path := range []string{f, strings.TrimPrefix(f, "/usr"), "/usr" + f} {
			if name := p.owner[path]; name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// closure returns a line for each package among roots and what they depend on, sorted.
func (p *packages) closure(roots []string) []string {
	seen := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		if !p.has(name) {
			for _, provider := range p.provide[name] {
				visit(provider)
			}
			return
		}
		if seen[name] {
			return
		}
		seen[name] = true
		for _, d := range p.depends[name] {
			visit(d)
		}
	}
	for _, r := range roots {
		visit(r)
	}
	var lines []string
	for name := range seen {
		lines = append(lines, "package "+name+" "+p.version[name])
	}
	slices.Sort(lines)
	return lines
}
