package history

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
	"github.com/klauspost/compress/zstd"

	"cbuild/engine"
	"cbuild/internal/clock"
)

// maxBuilds is how many builds are kept.
const maxBuilds = 1000

// flushEvery is how much a kill may take from a log.
const flushEvery = time.Second

// A Recorder writes the files of one build. It is an observer of its events.
type Recorder struct {
	dir, id string
	clock   clock.Clock
	began   time.Duration
	lock    *flock.Flock
	file    *os.File

	mu      sync.Mutex
	z       *zstd.Encoder // guarded by mu
	w       *bufio.Writer // guarded by mu; into z
	flushed time.Duration // guarded by mu; when last
	late    *time.Timer   // guarded by mu; runs while anything is not written out
	summary summary       // guarded by mu
	digest  [32]byte      // guarded by mu; of the set of results
	err     error         // guarded by mu; the first
}

// Record begins the files of a build with the words args of a command line, in dir. The caller closes it.
func Record(dir string, args []string, c clock.Clock) (r *Recorder, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	now := c.Now().UTC()
	var salt [2]byte
	rand.Read(salt[:]) // it never fails
	r = &Recorder{dir: dir, id: now.Format("20060102-150405.000-") + hex.EncodeToString(salt[:]), clock: c, began: c.Elapsed()}
	r.summary = summary{V: 1, Began: now, Args: args}
	r.lock = flock.New(r.path(lockSuffix))
	if _, err := r.lock.TryLock(); err != nil {
		return nil, err
	}
	begun := r // r is nil by then: it is what is returned
	defer func() {
		if err != nil {
			begun.unlock()
		}
	}()
	if r.file, err = os.OpenFile(r.path(resultsSuffix), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return nil, err
	}
	r.z, err = zstd.NewWriter(r.file, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(256<<10))
	if err == nil {
		r.w = bufio.NewWriter(r.z)
		err = r.writeSummary()
	}
	if err != nil {
		_ = r.file.Close()
		return nil, err
	}
	return r, nil
}

// ID returns the ID of the build.
func (r *Recorder) ID() string { return r.id }

func (r *Recorder) path(suffix string) string { return filepath.Join(r.dir, r.id+suffix) }

func (r *Recorder) unlock() {
	_ = os.Remove(r.lock.Path()) // a lock that stays says nothing: it is free
	_ = r.lock.Close()
}

// writeSummary replaces the summary. r.mu is held, or nobody else knows r.
func (r *Recorder) writeSummary() error {
	data, err := json.Marshal(r.summary)
	if err != nil {
		return err
	}
	return renameio.WriteFile(r.path(summarySuffix), append(data, '\n'), 0o600)
}

// put writes a line. r.mu is held.
func (r *Recorder) put(res *Result) {
	line, err := json.Marshal(res)
	if err == nil {
		_, err = r.w.Write(append(line, '\n'))
	}
	if err == nil && r.clock.Elapsed()-r.flushed > flushEvery {
		err = r.flush()
	}
	if r.err == nil {
		r.err = err
	}
	if r.late == nil {
		r.late = time.AfterFunc(flushEvery, r.writeOut)
	}
}

// writeOut writes out what was put, also when nothing more comes.
func (r *Recorder) writeOut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.late == nil {
		return // it is closed
	}
	r.late = nil
	if err := r.flush(); r.err == nil {
		r.err = err
	}
}

// flush writes out what was put. r.mu is held.
func (r *Recorder) flush() error {
	r.flushed = r.clock.Elapsed()
	if err := r.w.Flush(); err != nil {
		return err
	}
	return r.z.Flush()
}

// Observe is engine.Observer's.
func (r *Recorder) Observe(e engine.Event) {
	switch e.Type {
	case engine.EventFinished:
		res := result(e)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.put(&res)
		r.add(&res)
	case engine.EventBuildFinished:
		r.mu.Lock()
		defer r.mu.Unlock()
		r.summary.Outcome, r.summary.ExitCode, r.summary.Counts = e.Text, e.ExitCode, e.Counts
	}
}

// result returns the line for a finished instance.
func result(e engine.Event) Result {
	o := e.Outcome
	res := Result{
		Target: e.Target.Label.String(), Rule: e.Target.Rule, Instance: e.Instance, Outcome: string(o.Class()), Key: o.Key.String(),
		Ms: e.Took.Milliseconds(), Why: e.Why,
	}
	if o.Result == nil {
		return res
	}
	res.Cached, res.ExitCode = o.Cached.String(), o.Result.ExitCode
	var made []byte
	for _, out := range o.Result.Read() {
		made = append(append(made, out.Path...), ' ')
		made = append(strconv.AppendBool(made, out.Executable), ' ')
		made = append(append(made, out.Digest.String()...), '\n')
	}
	made = append(append(made, o.Result.Stdout.String()...), ' ')
	sum := sha256.Sum256(append(made, o.Result.Facts["rows"]...))
	res.Made = hex.EncodeToString(sum[:8])
	return res
}

// add adds a result to the digest of all, whatever their order. r.mu is held.
func (r *Recorder) add(res *Result) {
	sum := sha256.Sum256([]byte(strings.Join([]string{res.Name(), res.Outcome, res.Key, res.Made}, "\x00")))
	for i, b := range sum {
		r.digest[i] ^= b
	}
	if res.Cached == notCached {
		r.summary.Ran++
	}
}

// Close ends the build. One that did nothing, and in which everything was as in the one before, shares the results of that. The oldest
// builds beyond those that are kept are removed.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.unlock()
	if r.late != nil {
		r.late.Stop()
		r.late = nil
	}
	r.summary.Took = r.clock.Elapsed() - r.began
	r.summary.Digest = hex.EncodeToString(r.digest[:])
	err := r.flush()
	for _, e := range []error{r.z.Close(), r.file.Close(), r.share(), r.writeSummary()} {
		if err == nil {
			err = e
		}
	}
	if r.err == nil {
		r.err = err
	}
	return r.err
}

// share replaces the results by a link to those of the build before, if these are the same, and removes the oldest builds. r.mu is held.
func (r *Recorder) share() error {
	ids, err := builds(r.dir)
	if err != nil {
		return err
	}
	for _, id := range ids[:max(0, len(ids)-maxBuilds)] {
		for _, suffix := range []string{resultsSuffix, summarySuffix, lockSuffix} {
			_ = os.Remove(filepath.Join(r.dir, id+suffix)) // another build may do the same
		}
	}
	at, _ := slices.BinarySearch(ids, r.id)
	if r.summary.Ran > 0 || at == 0 {
		return nil
	}
	before, err := readSummary(r.dir, ids[at-1])
	if err != nil || before.Digest != r.summary.Digest {
		return nil //nolint:nilerr // then they are not the same
	}
	// A file system without links keeps both.
	link := r.path(".link")
	if os.Link(filepath.Join(r.dir, ids[at-1]+resultsSuffix), link) != nil {
		return nil
	}
	return os.Rename(link, r.path(resultsSuffix))
}
