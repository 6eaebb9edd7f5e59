package fakeproxy

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/mod/sumdb/dirhash"
)

// A Module is one version of a made-up module.
type Module struct {
	Path, Version string
	// Files are the contents by path, without the module's prefix. There need be no go.mod.
	Files map[string]string
	// GoMod replaces the go.mod file, which is otherwise the one in Files or just the module line.
	GoMod string
	// Time is when it was published; there is a fixed default.
	Time time.Time
	// Unlisted keeps the version out of the list, as proxies do with pseudo-versions.
	Unlisted bool
}

func (m Module) goMod() string {
	switch {
	case m.GoMod != "":
		return m.GoMod
	case m.Files["go.mod"] != "":
		return m.Files["go.mod"]
	}
	return "module " + m.Path + "\n"
}

// Toolchain returns the module of a small Go toolchain: programs by their path, such as bin/gofmt, as shell scripts. What programs
// have for a toolchain, a version file and a go.mod file, is added.
func Toolchain(version, goos, goarch string, files map[string]string) Module {
	all := map[string]string{"VERSION": "go" + version + "\n", "src/_go.mod": "module std\n", "src/cmd/_go.mod": "module cmd\n"}
	maps.Copy(all, files)
	return Module{Path: "golang.org/toolchain", Version: "v0.0.1-go" + version + "." + goos + "-" + goarch, Files: all, Unlisted: false}
}

// Many returns a Generate function for n modules Name(0) … Name(n-1), each with the version v1.0.0 and content of its own. The same n
// gives the same bytes.
func Many(n int) func(path string) []Module {
	return func(path string) []Module {
		var i int
		if _, err := fmt.Sscanf(path, "example.com/many/m%d", &i); err != nil || i < 0 || i >= n || Name(i) != path {
			return nil
		}
		return []Module{{Path: path, Version: "v1.0.0", Files: map[string]string{
			"go.mod": "module " + path + "\n",
			"m.go":   fmt.Sprintf("package m\n\nconst Number = %d\n", i),
		}}}
	}
}

// Name returns the path of the i-th module of Many.
func Name(i int) string { return fmt.Sprintf("example.com/many/m%06d", i) }

// artifacts is what is made from a Module.
type artifacts struct {
	zip         []byte
	sum, modSum string
}

func (p *Proxy) artifacts(m Module) (*artifacts, error) {
	key := m.Path + "@" + m.Version
	p.mu.Lock()
	a := p.made[key]
	p.mu.Unlock()
	if a != nil {
		return a, nil
	}
	a, err := build(m)
	if err == nil && p.Generate == nil { // generated ones are made anew, lest a million of them be kept
		p.mu.Lock()
		p.made[key] = a
		p.mu.Unlock()
	}
	return a, err
}

func build(m Module) (*artifacts, error) {
	prefix := m.Path + "@" + m.Version + "/"
	names := slices.Sorted(maps.Keys(m.Files))
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	for _, name := range names {
		w, err := z.Create(prefix + name)
		if err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, m.Files[name]); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	open := func(name string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(m.Files[strings.TrimPrefix(name, prefix)])), nil
	}
	full := make([]string, len(names))
	for i, name := range names {
		full[i] = prefix + name
	}
	sum, err := dirhash.Hash1(full, open)
	if err != nil {
		return nil, err
	}
	modSum, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(m.goMod())), nil
	})
	return &artifacts{zip: buf.Bytes(), sum: sum, modSum: modSum}, err
}

// goSum returns the lines of the checksum database for one version.
func (p *Proxy) goSum(path, version string) ([]byte, error) {
	for _, m := range p.versions(path) {
		if m.Version == version {
			a, err := p.artifacts(m)
			if err != nil {
				return nil, err
			}
			return fmt.Appendf(nil, "%s %s %s\n%s %s/go.mod %s\n", path, version, a.sum, path, version, a.modSum), nil
		}
	}
	return nil, &fs.PathError{Op: "lookup", Path: path + "@" + version, Err: fs.ErrNotExist} // sumdb.Server knows this form only
}

func list(versions []Module) []byte {
	var b bytes.Buffer
	for _, m := range versions {
		if !m.Unlisted && !module.IsPseudoVersion(m.Version) {
			b.WriteString(m.Version + "\n")
		}
	}
	return b.Bytes()
}

// latest returns the highest release, else the highest of all.
func latest(versions []Module) Module {
	return slices.MaxFunc(versions, func(a, b Module) int {
		aRelease, bRelease := semver.Prerelease(a.Version) == "", semver.Prerelease(b.Version) == ""
		switch {
		case aRelease && !bRelease:
			return 1
		case bRelease && !aRelease:
			return -1
		}
		return semver.Compare(a.Version, b.Version)
	})
}

// Zip returns the zip file of m, for faults that serve another one than was asked for.
func Zip(m Module) []byte {
	a, err := build(m)
	if err != nil {
		panic(err) // nothing but memory is written
	}
	return a.zip
}
