package registry

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

// An aptSource is a place from which apt has packages.
type aptSource struct {
	base   string
	suites []string
	// signedBy are the names of files with keys, or keys themselves; empty for those that apt trusts for everything.
	signedBy []string
}

var errNoDebian = errors.New("where are Debian packages? Set DEBIAN_MIRROR, or name a place in /etc/apt/sources.list")

// configuration returns the places, in the order in which they are written: DEBIAN_MIRROR if that is set, else what apt reads.
func (d *Debian) configuration() ([]aptSource, error) { return d.sources.get(d.opts.Client, d.find) }

func (d *Debian) find() ([]aptSource, error) {
	found, err := d.read()
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errNoDebian
	}
	for _, s := range found {
		d.opts.Client.Declare(s.base)
	}
	return found, nil
}

func (d *Debian) read() (all []aptSource, err error) {
	m := d.opts.Machine
	if mirrors := m.env("DEBIAN_MIRROR"); mirrors != "" {
		for _, address := range strings.Fields(mirrors) {
			b, err := base("DEBIAN_MIRROR", address)
			if err != nil {
				return nil, err
			}
			all = append(all, aptSource{base: b})
		}
		return all, nil
	}
	names := []string{"/etc/apt/sources.list"}
	for _, pattern := range []string{"/etc/apt/sources.list.d/*.list", "/etc/apt/sources.list.d/*.sources"} {
		more, err := m.glob(pattern)
		if err != nil {
			return nil, err
		}
		slices.Sort(more)
		names = append(names, more...)
	}
	for _, name := range names {
		text, err := m.read(name)
		if err != nil {
			return nil, fmt.Errorf("apt's configuration: %w", err)
		}
		if filepath.Ext(name) == ".sources" {
			all = append(all, parseSources(text)...)
		} else {
			all = append(all, parseSourcesList(text)...)
		}
	}
	return all, nil
}

// parseSourcesList reads lines such as "deb [signed-by=/etc/key.gpg] https://host/debian suite component…". Other lines, and places that
// are neither http, https nor file, are left out.
func parseSourcesList(text string) (all []aptSource) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb")
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '\t' && rest[0] != '[' {
			continue
		}
		rest = strings.TrimSpace(rest)
		var s aptSource
		if options, after, ok := strings.Cut(rest, "]"); ok && strings.HasPrefix(options, "[") {
			rest = after
			for option := range strings.FieldsSeq(options[1:]) {
				name, value, _ := strings.Cut(option, "=")
				if strings.EqualFold(name, "signed-by") {
					s.signedBy = strings.Split(value, ",")
				}
			}
		}
		words := strings.Fields(rest)
		if len(words) < 2 {
			continue
		}
		b, err := base("", words[0])
		if err != nil {
			continue
		}
		s.base, s.suites = b, words[1:2]
		all = append(all, s)
	}
	return all
}

// parseSources reads paragraphs with the fields Types, URIs, Suites, Enabled and Signed-By (deb822).
func parseSources(text string) (all []aptSource) {
	for p, err := range paragraphs(strings.NewReader(text)) {
		if err != nil {
			return all
		}
		if !slices.Contains(strings.Fields(p["Types"]), "deb") || strings.EqualFold(strings.TrimSpace(p["Enabled"]), "no") {
			continue
		}
		s := aptSource{suites: strings.Fields(p["Suites"])}
		if by := strings.TrimSpace(p["Signed-By"]); strings.Contains(by, "BEGIN PGP") {
			s.signedBy = []string{armored(by)}
		} else {
			s.signedBy = strings.Fields(by)
		}
		for uri := range strings.FieldsSeq(p["URIs"]) {
			b, err := base("", uri)
			if err != nil {
				continue
			}
			s.base = b
			all = append(all, s)
		}
	}
	return all
}

// armored returns a key as it was before it became the value of a field, in which a dot stands for an empty line.
func armored(value string) string {
	var b strings.Builder
	lines := bufio.NewScanner(strings.NewReader(value))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "." {
			line = ""
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// bases returns the addresses of the archives that have a suite ("" for all), those whose configuration names it first: an archive has
// more suites than those that a machine uses.
func (d *Debian) bases(ctx context.Context, suite, snapshot string) ([]string, error) {
	sources, err := d.configuration()
	if err != nil {
		return nil, err
	}
	if snapshot != "" {
		return d.snapshotBases(ctx, snapshot)
	}
	var first, others []string
	for _, s := range sources {
		if suite != "" && slices.Contains(s.suites, suite) {
			first = append(first, s.base)
		} else {
			others = append(others, s.base)
		}
	}
	var all []string
	for _, b := range append(first, others...) {
		if !slices.Contains(all, b) {
			all = append(all, b)
		}
	}
	return all, nil
}

// snapshotMark stands for the time of a snapshot in an address, as in the field Snapshots of a release.
const snapshotMark = "@SNAPSHOTID@"

var errNoSnapshots = errors.New("where are Debian's snapshots? Set DEBIAN_SNAPSHOTS to an address with " + snapshotMark + " in place of the time")

// snapshotBases returns the address of the archive as it was at a time.
func (d *Debian) snapshotBases(_ context.Context, snapshot string) ([]string, error) {
	form := d.opts.Machine.env("DEBIAN_SNAPSHOTS")
	if !strings.Contains(form, snapshotMark) {
		return nil, errNoSnapshots
	}
	b, err := base("DEBIAN_SNAPSHOTS", strings.ReplaceAll(form, snapshotMark, snapshot))
	if err != nil {
		return nil, err
	}
	d.opts.Client.Declare(b)
	return []string{b}, nil
}

// keys returns what signs the releases of an archive: files with keys, or keys themselves.
func (d *Debian) keys(at string) ([]string, error) {
	var names []string
	for _, s := range d.sources.peek() {
		if s.base == at {
			names = append(names, s.signedBy...)
		}
	}
	if len(names) > 0 {
		return names, nil
	}
	if ring := d.opts.Machine.env("DEBIAN_KEYRING"); ring != "" {
		return []string{ring}, nil
	}
	for _, pattern := range []string{
		"/usr/share/keyrings/debian-archive-keyring.*", "/etc/apt/trusted.gpg.d/*.asc", "/etc/apt/trusted.gpg.d/*.gpg",
	} {
		more, err := d.opts.Machine.glob(pattern)
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	return names, nil
}

// escapePath escapes what can't stand in the path of an address. Debian's names have characters such as + and ~, which can.
func escapePath(p string) string { return (&url.URL{Path: p}).EscapedPath() }
