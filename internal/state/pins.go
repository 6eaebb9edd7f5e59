package state

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"cbuild/internal/vfs"
)

// A Pin is an answer of the outside world that later builds need not ask for again.
type Pin struct {
	// Target is a label, Request and Answer are as the rule that asked wrote them.
	Target, Request, Answer string
}

// Pins is the journal of the pins that are not in the lock file yet. All methods may be called concurrently, also by several
// processes.
type Pins struct {
	fs   vfs.FS
	name string
}

// NewPins returns the journal in the file name, which need not exist.
func NewPins(fsys vfs.FS, name string) *Pins { return &Pins{fs: fsys, name: name} }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Append adds a pin. When it returns without an error, Load finds the pin even if this process is killed at once. A line that a kill
// tore does no harm to those after it: each begins with a line break of its own.
func (p *Pins) Append(pin Pin) error {
	text := strconv.Quote(pin.Target) + " " + strconv.Quote(pin.Request) + " " + strconv.Quote(pin.Answer)
	line := fmt.Sprintf("\n%08x %s\n", crc32.Checksum([]byte(text), castagnoli), text)
	f, err := p.fs.Append(p.name, 0o666)
	if errors.Is(err, fs.ErrNotExist) {
		if err = p.fs.MkdirAll(filepath.Dir(p.name), 0o777); err == nil {
			f, err = p.fs.Append(p.name, 0o666)
		}
	}
	if err != nil {
		return fmt.Errorf("journal of pins: %w", err)
	}
	_, err = f.Write([]byte(line))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("journal of pins: %w", err)
	}
	return nil
}

// Load returns the pins in the order in which they were added. Of several for one request the last one counts. Damaged lines are
// left out: their requests are asked again.
func (p *Pins) Load() ([]Pin, error) {
	data, err := p.fs.ReadFile(p.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal of pins: %w", err)
	}
	var pins []Pin
	for line := range strings.Lines(string(data)) {
		if pin, ok := parsePin(line); ok {
			pins = append(pins, pin)
		}
	}
	return pins, nil
}

// Clear forgets all pins, once they are in the lock file.
func (p *Pins) Clear() error {
	if err := p.fs.Remove(p.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("journal of pins: %w", err)
	}
	return nil
}

func parsePin(line string) (pin Pin, ok bool) {
	line, whole := strings.CutSuffix(line, "\n")
	sum, text, spaced := strings.Cut(line, " ")
	if !whole || !spaced || sum != fmt.Sprintf("%08x", crc32.Checksum([]byte(text), castagnoli)) {
		return Pin{}, false
	}
	for i, field := range []*string{&pin.Target, &pin.Request, &pin.Answer} {
		if i > 0 {
			if text, ok = strings.CutPrefix(text, " "); !ok {
				return Pin{}, false
			}
		}
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			return Pin{}, false
		}
		if *field, err = strconv.Unquote(quoted); err != nil {
			return Pin{}, false
		}
		text = text[len(quoted):]
	}
	return pin, text == ""
}
