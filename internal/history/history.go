// Package history keeps what became of each build of a workspace: two files for every build, and a SQLite index of them that can be
// deleted at any time. A build writes its files through a Recorder, an observer of its events; it never touches the index. Open
// reads what the index does not know yet: so looking is what costs, not building.
package history

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// A Build is what is known of one build.
type Build struct {
	// ID orders builds by when they began: 20261125-210904.123-1a2b.
	ID    string
	Began time.Time
	Took  time.Duration
	// Args are the words of the command line.
	Args []string
	// Outcome is pass, fail, error or cancelled; running while it runs, killed if it never said how it ended.
	Outcome  string
	ExitCode int
	// Counts are the numbers of instances by outcome, and by where results came from: cached_no, cached_local, cached_remote.
	Counts map[string]int
	// Ran is how many instances were not taken from a cache.
	Ran int
}

// The outcomes of builds that did not end by themselves.
const (
	Running = "running"
	Killed  = "killed"
)

// notCached is Result.Cached of what was executed.
const notCached = "no"

// An Attempt is one execution of an instance.
type Attempt struct {
	Build string
	Result
}

// ErrNoBuild is wrapped by the error for a build that the history does not know.
var ErrNoBuild = errors.New("no such build")

// A History is the index of a directory of builds. Its methods may be called concurrently.
type History struct {
	dir string
	db  *sql.DB
}

// schema is the form of the index. It holds nothing that is not in the files: one of another form is thrown away.
const schema = `
PRAGMA user_version = 1;
CREATE TABLE builds (id TEXT PRIMARY KEY, began INTEGER, took INTEGER, args TEXT, outcome TEXT, exit INTEGER, counts TEXT, ran INTEGER) WITHOUT ROWID;
CREATE TABLE attempts (name TEXT, build TEXT, result TEXT, PRIMARY KEY (name, build)) WITHOUT ROWID;
`

// Open opens the history whose files are in dir, and brings the index up to date.
func Open(dir string) (*History, error) {
	h := &History{dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := h.openIndex(); err != nil {
		return nil, err
	}
	if err := h.Refresh(); err != nil {
		_ = h.Close() // what went wrong first matters
		return nil, err
	}
	return h, nil
}

// openIndex opens the index, or begins another if there is none that can be used.
func (h *History) openIndex() error {
	name := filepath.Join(h.dir, "index.db")
	for again := false; ; again = true {
		db, err := sql.Open("sqlite", "file:"+escapePath(name)+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_pragma=synchronous(off)&_txlock=immediate")
		if err != nil {
			return err
		}
		db.SetMaxOpenConns(1)
		h.db = db
		if err = h.prepare(); err == nil {
			return nil
		}
		_ = db.Close()
		if again {
			return fmt.Errorf("history %s: %w", name, err)
		}
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(name + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
}

// escapePath writes a path for an address of SQLite.
func escapePath(name string) string {
	return strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(filepath.ToSlash(name))
}

// prepare makes the tables of a new index, and checks that an old one has this form.
func (h *History) prepare() error {
	tx, err := h.db.Begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	var version, tables int
	if err := tx.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if err := tx.QueryRow("SELECT count(*) FROM sqlite_master").Scan(&tables); err != nil {
		return err
	}
	switch {
	case version == 1:
		_, err := tx.Exec("SELECT ran FROM builds LIMIT 1")
		return err
	case version != 0 || tables > 0:
		return fmt.Errorf("version %d", version)
	}
	if _, err := tx.Exec(schema); err != nil {
		return err
	}
	return tx.Commit()
}

// Close closes the index.
func (h *History) Close() error { return h.db.Close() }

// Refresh reads the builds that the index does not have, and forgets those that are gone.
func (h *History) Refresh() error {
	ids, err := builds(h.dir)
	if err != nil {
		return err
	}
	tx, err := h.db.Begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	known := map[string]bool{}
	rows, err := tx.Query("SELECT id FROM builds WHERE outcome <> ?", Running)
	if err != nil {
		return err
	}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		known[id] = true
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for id := range known {
		if !slices.Contains(ids, id) {
			if err := forget(tx, id); err != nil {
				return err
			}
		}
	}
	for _, id := range ids {
		if !known[id] {
			if err := h.index(tx, id); err != nil {
				return err
			}
		}
	}
	return tx.Commit()
}

func forget(tx *sql.Tx, id string) error {
	for _, q := range []string{"DELETE FROM builds WHERE id = ?", "DELETE FROM attempts WHERE build = ?"} {
		if _, err := tx.Exec(q, id); err != nil {
			return err
		}
	}
	return nil
}

// index reads what is known of a build into the index. Files that can't be read are left out: they may be another time.
func (h *History) index(tx *sql.Tx, id string) error {
	if err := forget(tx, id); err != nil {
		return err
	}
	b, err := readBuild(h.dir, id)
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	if b.Ran > 0 {
		if err := h.indexAttempts(tx, id); err != nil {
			return err
		}
	}
	args, _ := json.Marshal(b.Args)     // strings
	counts, _ := json.Marshal(b.Counts) // numbers
	_, err = tx.Exec("INSERT INTO builds VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		b.ID, b.Began.UnixNano(), int64(b.Took), string(args), b.Outcome, b.ExitCode, string(counts), b.Ran)
	return err
}

func (h *History) indexAttempts(tx *sql.Tx, id string) error {
	add, err := tx.Prepare("INSERT OR REPLACE INTO attempts VALUES (?, ?, ?)")
	if err != nil {
		return err
	}
	defer add.Close()
	return readResults(h.dir, id, func(r Result) error {
		if r.Cached != notCached {
			return nil
		}
		text, err := json.Marshal(r)
		if err == nil {
			_, err = add.Exec(r.Name(), id, string(text))
		}
		return err
	})
}

// Results gives each result of a build to use, in the order in which they came.
func (h *History) Results(id string, use func(Result) error) error {
	return readResults(h.dir, id, use)
}

// Builds returns the last n builds, the last one first.
func (h *History) Builds(n int) ([]Build, error) {
	rows, err := h.db.Query("SELECT id, began, took, args, outcome, exit, counts, ran FROM builds ORDER BY id DESC LIMIT ?", n)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var builds []Build
	for rows.Next() {
		var b Build
		var began, took int64
		var args, counts string
		if err := rows.Scan(&b.ID, &began, &took, &args, &b.Outcome, &b.ExitCode, &counts, &b.Ran); err != nil {
			return nil, err
		}
		b.Began, b.Took = time.Unix(0, began), time.Duration(took)
		if err := errors.Join(json.Unmarshal([]byte(args), &b.Args), json.Unmarshal([]byte(counts), &b.Counts)); err != nil {
			return nil, err
		}
		builds = append(builds, b)
	}
	return builds, rows.Err()
}

// Find returns the build that ref names: @1 is the last one, @2 the one before; else the beginning of an ID.
func (h *History) Find(ref string) (Build, error) {
	all, err := h.Builds(maxBuilds)
	if err != nil {
		return Build{}, err
	}
	var n int
	if _, err := fmt.Sscanf(ref, "@%d", &n); err == nil && n >= 1 && ref == fmt.Sprintf("@%d", n) {
		if n > len(all) {
			return Build{}, fmt.Errorf("%w: %s, there are %d", ErrNoBuild, ref, len(all))
		}
		return all[n-1], nil
	}
	all = slices.DeleteFunc(all, func(b Build) bool { return ref == "" || !strings.HasPrefix(b.ID, ref) })
	switch len(all) {
	case 0:
		return Build{}, fmt.Errorf("%w: %s", ErrNoBuild, ref)
	case 1:
		return all[0], nil
	}
	return Build{}, fmt.Errorf("%s stands for %d builds, from %s to %s", ref, len(all), all[len(all)-1].ID, all[0].ID)
}

// Attempts returns the executions of the instance with a name as Result.Name writes it, the last one first.
func (h *History) Attempts(name string) ([]Attempt, error) {
	rows, err := h.db.Query("SELECT build, result FROM attempts WHERE name = ? ORDER BY build DESC", name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Attempt
	for rows.Next() {
		var a Attempt
		var text string
		if err := rows.Scan(&a.Build, &text); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(text), &a.Result); err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, rows.Err()
}
