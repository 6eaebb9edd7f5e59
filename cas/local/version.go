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

// format is what VERSION says of a store that this package reads and writes. The names of features may follow it, each after a space.
const format = "cbuild-cas 1 blake3"

// formatLoose is the first format: a file for each blob and record.
const formatLoose = "cbuild-cas 0 blake3"

// cacheTag is the content of CACHEDIR.TAG, by which backup programs know a cache: https://bford.info/cachedir/.
const cacheTag = "Signature: 8a477f597d28d172789f06886806bc55\n# This is a cache of cbuild. It can be deleted when no build runs.\n"

// sealedText appends to text the checksum that VERSION carries.
func sealedText(text string) string {
	sum := cas.Derive("cbuild store version", []byte(text))
	return text + " " + hex.EncodeToString(sum[:8]) + "\n"
}

// openVersion checks that dir has the format that we know. A missing or damaged VERSION is written anew, unless the store can't be
// written: it says nothing that the store depends on.
func (l *Local) openVersion(dir string) error {
	data, err := l.fs.ReadFile(filepath.Join(dir, "VERSION"))
	switch {
	case err == nil:
		text, _, _ := strings.Cut(string(data), "\n")
		if i := strings.LastIndexByte(text, ' '); i >= 0 && sealedText(text[:i]) == string(data) {
			return l.checkFormat(text[:i])
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := l.checkOurs(dir, err == nil); err != nil || l.readOnly {
		return err
	}
	switch err := l.writeFile(filepath.Join(dir, "VERSION"), []byte(sealedText(format))); {
	case unwritable(err):
		l.readOnly = true
		return nil
	case err != nil:
		return err
	}
	return l.writeFile(filepath.Join(dir, "CACHEDIR.TAG"), []byte(cacheTag))
}

// checkFormat decides by the sound line of VERSION. A feature that ends in "?" changes nothing for those who only read, so a store with
// an unknown one of that kind is opened for reading. Any other unknown feature keeps us out.
func (l *Local) checkFormat(text string) error {
	if text == formatLoose {
		return errLoose
	}
	features, ok := strings.CutPrefix(text, format)
	if !ok || features != "" && features[0] != ' ' {
		return fmt.Errorf("it has the format %q, this cbuild knows %q: take another directory or a newer cbuild", text, format)
	}
	for _, f := range strings.Fields(features) {
		if !strings.HasSuffix(f, "?") {
			return fmt.Errorf("it has the feature %q, which this cbuild does not know: take another directory or a newer cbuild", f)
		}
		l.readOnly = true
	}
	return nil
}

var errLoose = fmt.Errorf("it has the format %q of an earlier cbuild, this one knows %q: delete the directory or take another one", formatLoose, format)

// checkOurs keeps us from scattering files over a directory that was named by mistake, and from reading a store of the first format
// as one of ours. Marked is set if there is a VERSION, though a damaged one.
func (l *Local) checkOurs(dir string, marked bool) error {
	entries, err := l.fs.ReadDir(dir)
	if err != nil {
		return err
	}
	ours := marked || len(entries) == 0
	for _, e := range entries {
		switch e.Name() {
		case "ac":
			return errLoose
		case "CACHEDIR.TAG", "blob", "pack", "tmp", "quarantine", "agents", "leases", "pins", "trash", "collected", "collect.lock", "start.lock":
			ours = true
		}
	}
	if !ours {
		return errors.New("the directory is not empty and holds no store")
	}
	return nil
}
