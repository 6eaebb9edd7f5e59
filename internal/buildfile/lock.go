package buildfile

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	"golang.org/x/text/unicode/norm"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/rules"
)

// The names of the lock file and of the directory beside it for long lists of pins.
const (
	LockName = "BUILD.lock.hcl"
	LockDir  = "BUILD.lock.d"
)

// A target's pins stand in the lock file itself if there are at most maxInline of them, each at most maxInlinePin bytes long.
const (
	maxInline    = 64
	maxInlinePin = 512
)

const lockHeader = "# Written by cbuild: what the outside world answered. Commit it; `cbuild update` asks again.\n"

// A Lock holds the answers that are pinned in a workspace. It implements rules.Pins. All methods may be called concurrently.
//
// BUILD.lock.hcl has a block for each target, sorted: few pins as request = answer, many as one digest of the file
// BUILD.lock.d/LABEL.ndjson, whose lines {"request":…,"answer":…} are sorted by request; an answer that may age says "asked":…,
// when. Equal pins are equal bytes. Pins of targets that no longer exist stay until Drop.
type Lock struct {
	root string
	opts LockOptions

	mu sync.Mutex
	// pins and before are guarded by mu: the answers by label and request, now and as they were read.
	pins, before map[string]map[string]string
	// files are the names of the answer files that the lock file mentions.
	files map[string]bool
	saved bool // guarded by mu; whether Save has written
}

// LockOptions say how a Lock behaves.
type LockOptions struct {
	// Locked forbids every change.
	Locked bool
	// Journal, if set, is called with every pin before SetPin returns, so that it outlives a kill.
	Journal func(target engine.Label, request, answer string) error
}

// A LockedError says what would change in a lock file that must not.
type LockedError struct {
	Target engine.Label
	// Before is the pinned answer, "" if there is none, and After the one that would replace it.
	Request, Before, After string
}

func (e *LockedError) Error() string {
	if e.Before == "" {
		return fmt.Sprintf("--locked: %s has no pin for %s in %s; a build without --locked adds it", e.Target, e.Request, LockName)
	}
	return fmt.Sprintf("--locked: the pin of %s for %s would change from %s to %s", e.Target, e.Request, shorten(e.Before), shorten(e.After))
}

func shorten(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:79]) + "…"
	}
	return s
}

// OpenLock reads the lock file in root; one that does not exist is empty. Damage and merge conflicts are diagnostics.
func OpenLock(root string, opts LockOptions) (*Lock, *Diagnostics) {
	l := &Lock{root: root, opts: opts, files: make(map[string]bool)}
	diags := new(Diagnostics)
	pins, err := l.parse(diags)
	if err != nil {
		diags.plain("Cannot read "+LockName, sentence(err))
	}
	l.pins, l.before = pins, clonePins(pins)
	return l, diags
}

func clonePins(pins map[string]map[string]string) map[string]map[string]string {
	out := make(map[string]map[string]string, len(pins))
	for label, m := range pins {
		out[label] = maps.Clone(m)
	}
	return out
}

// Locked reports whether every change is refused.
func (l *Lock) Locked() bool { return l.opts.Locked }

// Pin returns the answer that is pinned for request of target.
func (l *Lock) Pin(target engine.Label, request string) (answer string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	answer, ok = l.pins[target.String()][request]
	return answer, ok
}

// SetPin pins answer. Under --locked it fails with a *LockedError unless nothing changes.
func (l *Lock) SetPin(target engine.Label, request, answer string) error {
	if err := l.set(target, request, answer); err != nil {
		return err
	}
	if l.opts.Journal == nil {
		return nil
	}
	if err := l.opts.Journal(target, request, answer); err != nil {
		return fmt.Errorf("pin %s of %s: %w", request, target, err)
	}
	return nil
}

// Adopt takes over a pin from the journal of a build that was killed. It changes nothing under --locked.
func (l *Lock) Adopt(target engine.Label, request, answer string) {
	_ = l.set(target, request, answer)
}

func (l *Lock) set(target engine.Label, request, answer string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	label := target.String()
	had, ok := l.pins[label][request]
	switch {
	case ok && had == answer:
		return nil
	case l.opts.Locked:
		return &LockedError{Target: target, Request: request, Before: had, After: answer}
	case l.pins[label] == nil:
		l.pins[label] = make(map[string]string)
	}
	l.pins[label][request] = answer
	return nil
}

// Drop forgets the pins of the given targets, so that they are asked again.
func (l *Lock) Drop(targets []engine.Label) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range targets {
		delete(l.pins, t.String())
	}
}

// Keep forgets the pins of all targets but the given ones: what `cbuild update` does with those that no longer exist.
func (l *Lock) Keep(targets []engine.Label) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := make(map[string]bool)
	for _, t := range targets {
		known[t.String()] = true
	}
	maps.DeleteFunc(l.pins, func(label string, _ map[string]string) bool { return !known[label] })
}

// A Change is a difference between the lock file and the pins: Before or After is "" where there is no pin.
type Change struct {
	Target, Request, Before, After string
}

// Diff returns what Save would change, by target and request, but for the times at which answers were asked for.
func (l *Lock) Diff() []Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	var changes []Change
	for label, m := range l.pins {
		for request, answer := range m {
			if had := l.before[label][request]; !sameAnswer(had, answer) {
				changes = append(changes, Change{label, request, had, answer})
			}
		}
	}
	for label, m := range l.before {
		for request, had := range m {
			if _, ok := l.pins[label][request]; !ok {
				changes = append(changes, Change{label, request, had, ""})
			}
		}
	}
	slices.SortFunc(changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Request, b.Request))
	})
	return changes
}

// sameAnswer reports whether two pins differ at most in when they were asked for.
func sameAnswer(a, b string) bool {
	_, x := rules.SplitAsked(a)
	_, y := rules.SplitAsked(b)
	return x == y && (a == "") == (b == "")
}

// Save writes the pins, if they changed. After a kill at any moment the lock is the old one or the new one.
func (l *Lock) Save() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if maps.EqualFunc(l.pins, l.before, func(a, b map[string]string) bool { return maps.Equal(a, b) }) {
		return nil
	}
	if l.opts.Locked {
		return errors.New("--locked: " + LockName + " would change")
	}
	text, answers := encodeLock(l.pins)
	for _, name := range sortedKeys(answers) {
		if err := l.writeAnswers(name, answers[name]); err != nil {
			return err
		}
	}
	if err := renameio.WriteFile(filepath.Join(l.root, LockName), text, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", LockName, err)
	}
	l.saved = true
	l.removeStale(answers)
	l.files = make(map[string]bool)
	for name := range answers {
		l.files[name] = true
	}
	l.before = clonePins(l.pins)
	return nil
}

// Saved reports whether Save had something to write, and has.
func (l *Lock) Saved() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.saved
}

// writeAnswers replaces an answer file. Until the lock file names the new content, the old one stays beside it.
func (l *Lock) writeAnswers(name string, data []byte) error {
	full := filepath.Join(l.root, LockDir, name)
	had, err := os.ReadFile(full)
	if err == nil && bytes.Equal(had, data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return err
	}
	if err == nil {
		if err := renameio.WriteFile(full+"~", had, 0o644); err != nil {
			return fmt.Errorf("keep %s: %w", name, err)
		}
	}
	if err := renameio.WriteFile(full, data, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// removeStale removes the answer files of ours that the lock file no longer names. One that stays does no harm.
func (l *Lock) removeStale(answers map[string][]byte) {
	for name := range answers {
		_ = os.Remove(filepath.Join(l.root, LockDir, name+"~"))
	}
	for name := range l.files {
		if _, still := answers[name]; !still {
			_ = os.Remove(filepath.Join(l.root, LockDir, name))
		}
	}
	_ = os.Remove(filepath.Join(l.root, LockDir)) // fails unless empty
}

// encodeLock returns the text of the lock file and of the answer files by name.
func encodeLock(pins map[string]map[string]string) (text []byte, answers map[string][]byte) {
	f := hclwrite.NewEmptyFile()
	answers = make(map[string][]byte)
	for _, label := range sortedKeys(pins) {
		if len(pins[label]) == 0 {
			continue
		}
		f.Body().AppendNewline()
		body := f.Body().AppendNewBlock("pins", []string{label}).Body()
		if inline(pins[label]) {
			m := make(map[string]cty.Value)
			for request, answer := range pins[label] {
				m[request] = cty.StringVal(answer)
			}
			body.SetAttributeValue("answers", cty.ObjectVal(m))
			continue
		}
		data := encodeAnswers(pins[label])
		answers[answerFile(label)] = data
		body.SetAttributeValue("file", cty.StringVal(answerFile(label)))
		body.SetAttributeValue("digest", cty.StringVal(cas.Of(data).String()))
		body.SetAttributeValue("count", cty.NumberIntVal(int64(len(pins[label]))))
	}
	return append([]byte(lockHeader), hclwrite.Format(f.Bytes())...), answers
}

func inline(m map[string]string) bool {
	if len(m) > maxInline {
		return false
	}
	for request, answer := range m {
		if asked, _ := rules.SplitAsked(answer); !asked.IsZero() {
			return false // its time has a place of its own in an answer file
		}
		if len(request)+len(answer) > maxInlinePin || !norm.NFC.IsNormalString(request) || !norm.NFC.IsNormalString(answer) {
			return false
		}
	}
	return true
}

// An answerLine is one line of an answer file.
type answerLine struct {
	Request string `json:"request"`
	Answer  string `json:"answer"`
	Asked   string `json:"asked,omitempty"`
}

func encodeAnswers(m map[string]string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, request := range sortedKeys(m) {
		line := answerLine{Request: request, Answer: m[request]}
		if asked, answer := rules.SplitAsked(m[request]); !asked.IsZero() {
			line.Answer, line.Asked = answer, asked.Format(time.RFC3339)
		}
		_ = enc.Encode(line) // strings into memory
	}
	return b.Bytes()
}

// answerFile returns the name of the answer file of a target: no two labels share one, on no file system.
func answerFile(label string) string {
	dir, name, _ := strings.Cut(strings.TrimPrefix(label, "//"), ":")
	if dir == "" {
		return escapeName(name) + ".ndjson"
	}
	return "@" + escapeName(dir) + "@" + escapeName(name) + ".ndjson"
}

func escapeName(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == '/':
			b.WriteByte('+')
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '_', c == '-', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// readAnswers reads the answer file name, which must have the given digest. One that does not exist is asked for again.
func (l *Lock) readAnswers(name, digest string) (map[string]string, error) {
	full := filepath.Join(l.root, LockDir, name)
	var data []byte
	found := false
	for _, candidate := range []string{full, full + "~"} {
		d, err := os.ReadFile(candidate)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = true
		if cas.Of(d).String() == digest {
			data = d
			break
		}
	}
	switch {
	case !found:
		return map[string]string{}, nil
	case data == nil:
		return nil, fmt.Errorf("%s/%s is not the file that %s names", LockDir, name, LockName)
	}
	return decodeAnswers(name, data)
}

func decodeAnswers(name string, data []byte) (map[string]string, error) {
	m := make(map[string]string)
	d := json.NewDecoder(bytes.NewReader(data))
	for d.More() {
		var line answerLine
		if err := d.Decode(&line); err != nil {
			return nil, fmt.Errorf("%s/%s: %w", LockDir, name, err)
		}
		m[line.Request] = line.Answer
		if t, err := time.Parse(time.RFC3339, line.Asked); err == nil {
			m[line.Request] = rules.JoinAsked(t, line.Answer)
		}
	}
	return m, nil
}
