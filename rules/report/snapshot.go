package report

import (
	"bytes"
	"fmt"

	"cbuild/engine"
)

// PageOptions say what a page knows besides its rows. Each may be nil.
type PageOptions struct {
	// Build says at the end what is known of the build.
	Build func() *Build
	// Link returns where an artifact lies, relative to the page; "" if it does not lie there.
	Link func(engine.Artifact) string
}

// pageData are the data of a page, as they come together.
type pageData struct {
	options PageOptions
	columns *columns
	details details
	// ran counts the commands of the rows by the class of their sandboxes.
	ran [engine.SandboxFull + 1]int
}

func (p *pageData) begin(h *Head) { p.columns = newColumns(h, p.options.Link) }

func (p *pageData) add(r *Row) error {
	for i := range r.Sides {
		if e := &r.Sides[i].Extra; e.Shielded {
			p.ran[e.Used.Sandbox]++
		}
	}
	n, err := p.details.add(r)
	if err == nil {
		p.columns.add(r, n)
	}
	return err
}

// end returns the pack, compressed.
func (p *pageData) end() ([]byte, error) {
	build := &Build{}
	if p.options.Build != nil {
		build = p.options.Build()
	}
	err := p.details.flush()
	return squeeze(p.columns.pack(build, p.details.chunks, p.sandbox())), err
}

// sandbox says how well the commands of the rows were shielded.
func (p *pageData) sandbox() string {
	full, none := p.ran[engine.SandboxFull], p.ran[engine.SandboxNone]
	switch {
	case none > 0:
		return fmt.Sprintf("%s of %s ran in sandbox class none: what a command did not declare was not hidden from it.", thousands(none), plural(full+none, "run"))
	case full > 0:
		return "All ran in sandbox class full: a command saw what it declared."
	}
	return ""
}

// A Snapshot is a Format that keeps the data of a page, in the form in which a live page asks for them.
type Snapshot struct {
	pageData
	// Pack and Chunks are what docs/FORMATS.md calls so, compressed; they are there after End.
	Pack   []byte
	Chunks [][]byte
}

// NewSnapshot returns a format that keeps everything in memory.
func NewSnapshot(o PageOptions) *Snapshot {
	s := &Snapshot{pageData: pageData{options: o}}
	s.details.use = func(chunk []byte) error {
		s.Chunks = append(s.Chunks, bytes.Clone(chunk))
		return nil
	}
	return s
}

// Begin implements Format.
func (s *Snapshot) Begin(h *Head) error {
	s.begin(h)
	return nil
}

// Row implements Format.
func (s *Snapshot) Row(r *Row) error { return s.add(r) }

// End implements Format.
func (s *Snapshot) End() (err error) {
	s.Pack, err = s.end()
	return err
}
