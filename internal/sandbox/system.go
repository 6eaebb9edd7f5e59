package sandbox

import (
	"bufio"
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
		line, files, err := program(name)
		if err != nil {
			return nil, false, err
		}
		lines = append(lines, line)
		roots = append(roots, db.owners(files)...)
	}
	for _, name := range names {
		if !db.has(name) {
			return nil, false, &engine.InvalidError{Err: fmt.Errorf("system: package %s is not installed on this machine", name)}
		}
	}
	return append(lines, db.closure(roots)...), db.release != "" && len(db.version) > 0, nil
}

// program returns the line for a program, and the paths by which a package may own it: with every link on the way.
func program(name string) (line string, files []string, err error) {
	path, err := findProgram(name)
	if err != nil {
		return "", nil, err
	}
	for at := path; ; {
		files = append(files, at)
		to, err := os.Readlink(at)
		if err != nil {
			break
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(at), to)
		}
		if slices.Contains(files, to) {
			break
		}
		at = to
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		files = append(files, real)
	}
	f, err := os.Open(path)
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

func findProgram(name string) (string, error) {
	path, err := lookPath(name, searchPath, "/")
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		return "", &engine.InvalidError{Err: fmt.Errorf("command not found: %s (PATH inside a run is %s, after its toolchains)", name, searchPath)}
	}
	return path, nil
}

// packages is what the package database of a machine says. Its maps are empty where there is none.
type packages struct {
	release string
	version map[string]string   // by name
	depends map[string][]string // by name; alternatives are listed one after the other
	owner   map[string]string   // path → name, of files in directories of programs
	provide map[string][]string // virtual name → names
}

// readPackages reads the databases of dpkg and apk, whichever is there.
func readPackages(root string) (*packages, error) {
	p := &packages{version: map[string]string{}, depends: map[string][]string{}, owner: map[string]string{}, provide: map[string][]string{}}
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
		if strings.HasSuffix(fields["Status"], " installed") {
			p.add(fields["Package"], fields["Version"], splitNames(fields["Pre-Depends"]+","+fields["Depends"]), splitNames(fields["Provides"]))
		}
		clear(fields)
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if line == "" {
			keep()
		} else if name, value, ok := strings.Cut(line, ": "); ok && line[0] != ' ' {
			fields[name] = value
		}
	}
	keep()
	if err := lines.Err(); err != nil {
		return err
	}
	return p.readDpkgLists(filepath.Join(dir, "info"))
}

func (p *packages) readDpkgLists(dir string) error {
	lists, err := filepath.Glob(filepath.Join(dir, "*.list"))
	for _, list := range lists {
		name, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(list), ".list"), ":")
		data, err := os.ReadFile(list)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(data)) {
			p.own(strings.TrimSuffix(line, "\n"), name)
		}
	}
	return err
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
			p.own("/"+dir+"/"+value, name)
		case "":
			p.add(name, version, trimVersions(depends), trimVersions(provides))
			name, version, dir, depends, provides = "", "", "", nil, nil
		}
	}
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

func (p *packages) own(path, name string) {
	if strings.Contains(path, "bin/") || strings.HasPrefix(path, "/etc/alternatives/") {
		p.owner[path] = name
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
