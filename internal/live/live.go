// Package live lets one process look at a build that runs in another on the same machine. The build calls Listen, who looks calls Find. They speak
// HTTP over a socket in a directory that only the user can enter; a build that nobody looks at pays for the socket alone.
//
// It does not know what a build is: it carries states as JSON and snapshots as bytes.
package live

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Snapshot is the data of a page, in the form in which a browser asks for them.
type Snapshot struct {
	Pack   []byte
	Chunks [][]byte
}

// A Build answers who looks at it. Its methods are called concurrently.
type Build interface {
	// State returns how the build is, to be written as JSON.
	State() any
	// Snapshot returns the data of the page of the report with a label; nil if there is nothing yet.
	Snapshot(ctx context.Context, of string) (*Snapshot, error)
}

const socketSuffix = ".sock"

// maxAddress is the longest name of a socket, in bytes, everywhere.
const maxAddress = 100

// A Listener is a build that can be looked at.
type Listener struct {
	server  *http.Server
	path    string
	serving sync.WaitGroup

	mu     sync.Mutex
	closed bool // guarded by mu
}

// Listen makes the build with an ID one that can be looked at. The caller closes the listener when the build is over. IDs order builds by
// when they began.
func Listen(dir, id string, b Build) (*Listener, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, id+socketSuffix)
	at, done, err := address(path)
	if err != nil {
		return nil, err
	}
	defer done()
	socket, err := net.Listen("unix", at) //nolint:noctx // it does not wait
	if err != nil {
		return nil, err
	}
	socket.(*net.UnixListener).SetUnlinkOnClose(false) // it would look for the name that it was opened under
	l := &Listener{path: path}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /state", l.answering(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(b.State()) }))
	mux.HandleFunc("GET /snapshot", l.answering(func(w http.ResponseWriter, r *http.Request) {
		s, err := b.Snapshot(r.Context(), r.URL.Query().Get("of"))
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		case s == nil:
			http.Error(w, "there is nothing yet", http.StatusNotFound)
		default:
			_ = s.write(w)
		}
	}))
	l.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	l.serving.Go(func() { _ = l.server.Serve(socket) }) // it ends when it is closed
	return l, nil
}

// answering makes Close wait for a handler: what it asks of the build must still be there.
func (l *Listener) answering(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			return
		}
		l.serving.Add(1)
		l.mu.Unlock()
		defer l.serving.Done()
		handler(w, r)
	}
}

// Close ends the connections of all who look, and removes the socket. Nobody asks the build anything afterwards.
func (l *Listener) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	err := l.server.Close()
	l.serving.Wait()
	return errors.Join(err, os.Remove(l.path))
}

// write writes s: the number of parts, and for each its length and its bytes.
func (s *Snapshot) write(w io.Writer) error {
	parts := append([][]byte{s.Pack}, s.Chunks...)
	err := binary.Write(w, binary.LittleEndian, uint32(len(parts)))
	for _, p := range parts {
		if err == nil {
			err = binary.Write(w, binary.LittleEndian, uint32(len(p)))
		}
		if err == nil {
			_, err = w.Write(p)
		}
	}
	return err
}

// maxSnapshot is the most, in bytes, that is read of a snapshot.
const maxSnapshot = 1 << 30

func readSnapshot(r io.Reader) (*Snapshot, error) {
	r = io.LimitReader(r, maxSnapshot)
	number := func() (n uint32, err error) {
		err = binary.Read(r, binary.LittleEndian, &n)
		return n, err
	}
	n, err := number()
	if err != nil || n == 0 {
		return nil, fmt.Errorf("a snapshot is empty: %w", cmp.Or(err, io.ErrUnexpectedEOF))
	}
	var parts [][]byte
	for range n {
		size, err := number()
		if err != nil {
			return nil, err
		}
		part, err := io.ReadAll(io.LimitReader(r, int64(size)))
		if err != nil || len(part) != int(size) {
			return nil, fmt.Errorf("a snapshot is cut off: %w", cmp.Or(err, io.ErrUnexpectedEOF))
		}
		parts = append(parts, part)
	}
	return &Snapshot{Pack: parts[0], Chunks: parts[1:]}, nil
}

// A View looks at one build.
type View struct {
	ID       string
	client   *http.Client
	patience time.Duration // how long a state may take
}

// ErrNone is the error of Find if no build runs.
var ErrNone = errors.New("no build runs")

// Find looks at the newest build that runs. Sockets of builds that were killed are removed.
func Find(ctx context.Context, dir string) (*View, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	slices.Reverse(entries) // they are sorted by name
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), socketSuffix)
		if !ok {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if err := answers(ctx, path); err != nil {
			if info, ierr := e.Info(); errors.Is(err, syscall.ECONNREFUSED) && ierr == nil && time.Since(info.ModTime()) > settled {
				_ = os.Remove(path) // it is nobody's
			}
			continue
		}
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, path) }}
		return &View{id, &http.Client{Transport: transport}, stateWithin}, nil
	}
	return nil, ErrNone
}

// settled is how old a socket is at least that nobody listens to any more: for a moment, nobody listens to a new one yet.
const settled = 2 * time.Second

func answers(ctx context.Context, path string) error {
	c, err := dial(ctx, path)
	if err != nil {
		return err
	}
	return c.Close()
}

func dial(ctx context.Context, path string) (net.Conn, error) {
	at, done, err := address(path)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	return d.DialContext(ctx, "unix", at)
}

// A build that is stopped answers nobody. It gets so long for its state, and for a snapshot, which may be of a million rows.
const (
	stateWithin    = 3 * time.Second
	snapshotWithin = 5 * time.Minute
)

// State reads the build's state into state.
func (v *View) State(ctx context.Context, state any) error {
	ctx, cancel := context.WithTimeout(ctx, v.patience)
	defer cancel()
	return v.get(ctx, "/state", func(r io.Reader) error { return json.NewDecoder(r).Decode(state) })
}

// Snapshot returns the data of the page of a report.
func (v *View) Snapshot(ctx context.Context, of string) (s *Snapshot, err error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotWithin)
	defer cancel()
	err = v.get(ctx, "/snapshot?of="+url.QueryEscape(of), func(r io.Reader) error {
		s, err = readSnapshot(r)
		return err
	})
	return s, err
}

// Close ends the connections.
func (v *View) Close() { v.client.CloseIdleConnections() }

func (v *View) get(ctx context.Context, path string, read func(io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://build"+path, nil)
	if err != nil {
		return err
	}
	resp, err := v.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("the build says: %s", strings.TrimSpace(string(text)))
	}
	return read(resp.Body)
}
