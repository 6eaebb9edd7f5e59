package local

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"cbuild/cas"
)

// format is what VERSION says of a store that this package reads and writes.
const format = "cbuild-cas 0 blake3"

// cacheTag is the content of CACHEDIR.TAG, by which backup programs know a cache: https://bford.info/cachedir/.
const cacheTag = "Signature: 8a477f597d28d172789f06886806bc55\n# This is a cache of cbuild. It can be deleted when no build runs.\n"

// sealed appends to text the checksum that VERSION carries.
func sealed(text string) string {
	sum := cas.Derive("cbuild store version", []byte(text))
	return text + " " + hex.EncodeToString(sum[:8]) + "\n"
}

// openVersion checks that the store has the format we know. A missing or damaged VERSION is written anew: it says nothing that the
// store depends on.
func (l *Local) openVersion() error {
	data, err := l.fs.ReadFile(filepath.Join(l.dir, "VERSION"))
	switch {
	case err == nil && string(data) == sealed(format):
		return nil
	case err == nil:
		text, _, _ := strings.Cut(string(data), "\n")
		if i := strings.LastIndexByte(text, ' '); i >= 0 && sealed(text[:i]) == string(data) {
			return fmt.Errorf("it has the format %q, this cbuild knows %q: take another directory or a newer cbuild", text[:i], format)
		}
	case errors.Is(err, fs.ErrNotExist):
		if err := l.checkOurs(); err != nil {
			return err
		}
	default:
		return err
	}
	if err := l.writeFile(filepath.Join(l.dir, "VERSION"), []byte(sealed(format))); err != nil {
		return err
	}
	return l.writeFile(filepath.Join(l.dir, "CACHEDIR.TAG"), []byte(cacheTag))
}

// checkOurs keeps us from scattering files over a directory that was named by mistake.
func (l *Local) checkOurs() error {
	entries, err := l.fs.ReadDir(l.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.Name() {
		case "CACHEDIR.TAG", "blob", "ac", "tmp", "quarantine":
			return nil
		}
	}
	if len(entries) > 0 {
		return errors.New("the directory is not empty and holds no store")
	}
	return nil
}
