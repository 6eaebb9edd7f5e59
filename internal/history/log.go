package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/klauspost/compress/zstd"

	"cbuild/engine"
)

// A build has two files. ID.json is a summary, written when the build begins and again when it ends: a build that was killed has none of
// what is known at the end. ID.results.zst is a zstd stream of Results, one JSON object a line, in the order in which they came; a
// kill may have torn its end. Builds that did nothing share the results of the one before by a hard link. A build holds a lock
// (flock) on ID.lock, which is removed when it ends.
const (
	summarySuffix = ".json"
	resultsSuffix = ".results.zst"
	lockSuffix    = ".lock"
)

// summary is the content of ID.json.
type summary struct {
	V        int            `json:"v"`
	Began    time.Time      `json:"began"`
	Args     []string       `json:"args"`
	Took     time.Duration  `json:"took_ns,omitempty"`
	Outcome  string         `json:"outcome,omitempty"`
	ExitCode int            `json:"exit_code,omitempty"`
	Counts   map[string]int `json:"counts,omitempty"`
	Ran      int            `json:"ran,omitempty"`
	// Digest tells the set of results, whatever their order.
	Digest string `json:"digest,omitempty"`
}

// A Result is what became of one instance.
type Result struct {
	Target   string   `json:"target"`
	Rule     string   `json:"rule"`
	Instance []string `json:"instance,omitempty"`
	Outcome  string   `json:"outcome"`
	ExitCode int      `json:"exit_code,omitempty"`
	Key      string   `json:"key,omitempty"`
	// Made tells what it made: equal for equal outputs.
	Made   string `json:"made,omitempty"`
	Cached string `json:"cached,omitempty"`
	Ms     int64  `json:"ms,omitempty"`
	Why    string `json:"why,omitempty"`
}

// Name writes the instance as on the command line: //dir:name[key][axis key].
func (r *Result) Name() string {
	name := r.Target
	for _, k := range r.Instance {
		name += "[" + k + "]"
	}
	return name
}

// Label writes the instance as the command line takes it.
func (r *Result) Label() string { return engine.InstanceLabel(r.Target, r.Instance) }

// builds returns the IDs of the builds whose files are in dir, in their order.
func builds(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), summarySuffix); ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

func readSummary(dir, id string) (s summary, err error) {
	data, err := os.ReadFile(filepath.Join(dir, id+summarySuffix))
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err == nil && s.V != 1 {
		err = fmt.Errorf("%s: version %d of a summary", id, s.V)
	}
	return s, err
}

// readBuild reads what is known of a build. The results of one that was killed are counted.
func readBuild(dir, id string) (Build, error) {
	s, err := readSummary(dir, id)
	if err != nil {
		return Build{}, err
	}
	b := Build{ID: id, Began: s.Began, Took: s.Took, Args: s.Args, Outcome: s.Outcome, ExitCode: s.ExitCode, Counts: s.Counts, Ran: s.Ran}
	if b.Outcome != "" {
		return b, nil
	}
	b.Outcome = Running
	if free(flock.New(filepath.Join(dir, id+lockSuffix))) {
		b.Outcome = Killed
	}
	b.Counts = map[string]int{}
	err = readResults(dir, id, func(r Result) error {
		b.Counts[r.Outcome]++
		if r.Cached != "" {
			b.Counts["cached_"+r.Cached]++
		}
		if r.Cached == notCached {
			b.Ran++
		}
		return nil
	})
	return b, err
}

// free reports whether nobody holds the lock, and removes it then.
func free(lock *flock.Flock) bool {
	if ok, err := lock.TryLock(); err != nil || !ok {
		return false
	}
	_ = os.Remove(lock.Path()) // nobody needs it any more
	return lock.Close() == nil
}

// readResults gives each result of a build to use. What comes after a torn line is not there.
func readResults(dir, id string, use func(Result) error) error {
	f, err := os.Open(filepath.Join(dir, id+resultsSuffix))
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return err
	}
	defer z.Close()
	for lines := bufio.NewReaderSize(z, 64<<10); ; {
		line, err := lines.ReadBytes('\n')
		var r Result
		if err != nil || json.Unmarshal(line, &r) != nil {
			return nil
		}
		if err := use(r); err != nil {
			return err
		}
	}
}

// Recent returns the last n builds in dir, the last one first, without the index. What a killed one did is not counted.
func Recent(dir string, n int) (all []Build) {
	ids, err := builds(dir)
	if err != nil {
		return nil
	}
	for _, id := range slices.Backward(ids) {
		if len(all) == n {
			break
		}
		if s, err := readSummary(dir, id); err == nil {
			all = append(all, Build{ID: id, Began: s.Began, Took: s.Took, Args: s.Args, Outcome: s.Outcome, ExitCode: s.ExitCode, Counts: s.Counts, Ran: s.Ran})
		}
	}
	return all
}

// Read gives each result of the build id in dir to use until it returns false, in the order in which they came, without the index.
func Read(dir, id string, use func(Result) (more bool)) error {
	err := readResults(dir, id, func(r Result) error {
		if !use(r) {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

var errEnough = errors.New("enough was read")
