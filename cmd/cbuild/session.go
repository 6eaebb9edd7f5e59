package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/gofrs/flock"

	"cbuild/cas/local"
	"cbuild/engine"
	"cbuild/internal/buildfile"
	"cbuild/internal/checkout"
	"cbuild/internal/clock"
	"cbuild/internal/sandbox"
	"cbuild/internal/state"
	"cbuild/internal/vfs"
	"cbuild/rules"
	"cbuild/rules/download"
	"cbuild/rules/registry"
)

// session is everything of the outside world that a build uses.
type session struct {
	cli       *cli
	workspace *buildfile.Workspace
	store     *local.Local
	notes     notes
	breakage  breakage
	lock      *pins
	journal   *state.Pins
	table     *state.StatTable
	keys      *state.Keys
	trees     *checkout.Shared
	client    *download.Client
	parts     *download.Parts
	tellHost  func(download.HostState)
	runtime   *rules.Runtime
	uses      *rules.Uses
	executor  *sandbox.Executor
	note      func(severity, text string) // tells people, once
	scratch   string
	spool     func() (engine.Spool, error)
	closers   []func()
}

// xdg returns the directory that the environment names, or the one in the home directory.
func (c *cli) xdg(name, home string) (string, error) {
	if dir, ok := c.env(name); ok && filepath.IsAbs(dir) {
		return dir, nil
	}
	dir, ok := c.env("HOME")
	if !ok || !filepath.IsAbs(dir) {
		return "", usagef("neither %s nor HOME is set", name)
	}
	return filepath.Join(dir, home), nil
}

func (c *cli) storeDir() (string, error) {
	if err := c.configure(); err != nil {
		return "", err
	}
	if c.flags.cas != "" {
		return filepath.Abs(c.flags.cas)
	}
	dir, err := c.xdg("XDG_CACHE_HOME", ".cache")
	return filepath.Join(dir, "cbuild"), err
}

// stateDir is the directory for what belongs to this machine.
func (c *cli) stateDir() (string, error) {
	dir, err := c.xdg("XDG_STATE_HOME", ".local/state")
	return filepath.Join(dir, "cbuild"), err
}

// netrc is the file with names and passwords for hosts, as curl and the go command find it.
func (c *cli) netrc() string {
	if name, ok := c.env("NETRC"); ok {
		return name
	}
	home, ok := c.env("HOME")
	if !ok || home == "" {
		return ""
	}
	return filepath.Join(home, ".netrc")
}

// openLock opens the lock file of w; pins that are set go to the journal.
func (c *cli) openLock(w *buildfile.Workspace, journal *state.Pins) (*buildfile.Lock, error) {
	opts := buildfile.LockOptions{Locked: c.flags.locked || c.flags.frozen}
	if journal != nil {
		opts.Journal = func(target engine.Label, request, answer string) error {
			return journal.Append(state.Pin{Target: target.String(), Request: request, Answer: answer})
		}
	}
	lock, diags := buildfile.OpenLock(w.Root, opts)
	return lock, c.report(diags)
}

// durability is what a power cut may cost.
func (c *cli) durability() local.Durability {
	if c.flags.durability == "none" {
		return local.None
	}
	return local.Group
}

// open makes a session for w. The caller closes it.
func (c *cli) open(w *buildfile.Workspace) (s *session, err error) {
	s = &session{cli: c, note: func(string, string) {}, tellHost: func(download.HostState) {}, workspace: w, uses: &rules.Uses{}}
	s.closers = append(s.closers, func() { _ = w.Close() }) // it was only read
	defer func() {
		if err != nil {
			s.close()
			var status *statusError
			if !errors.As(err, &status) {
				err = &statusError{exitUsage, err}
			}
		}
	}()
	dir, err := c.storeDir()
	if err != nil {
		return s, err
	}
	base, err := c.stateDir()
	if err != nil {
		return s, err
	}
	s.store, err = local.Open(dir, local.Options{
		FS: vfs.OS, Durability: c.durability(), Private: filepath.Join(base, "private-cas"), Warn: s.notes.add, Broken: s.breakage.set,
	})
	if err != nil {
		return s, fmt.Errorf("cannot open the store: %w", err)
	}
	s.closers = append(s.closers, func() { s.store.Close() })
	here := filepath.Join(base, workspaceName(w.Root))
	if s.scratch, err = s.takeScratch(filepath.Join(here, "tmp")); err != nil {
		return s, err
	}
	s.parts = download.OpenParts(filepath.Join(here, "parts"))
	if err := s.openPins(filepath.Join(here, "pins")); err != nil {
		return s, err
	}
	machine, err := state.Machine(vfs.OS, base)
	if err != nil {
		return s, err
	}
	s.table = state.OpenStatTable(vfs.OS, clock.System, filepath.Join(here, "stat"))
	s.keys = state.NewKeys(vfs.OS, filepath.Join(here, "keys"), s.scratch)
	s.trees = checkout.NewShared(s.store, filepath.Join(base, "trees"))
	s.trees.Removed(s.uses.Forget)
	s.uses.Shared = s.trees.Has
	s.spool = func() (engine.Spool, error) { return state.NewSpool(vfs.OS, s.scratch) }
	if err := s.openExecutor(filepath.Join(s.scratch, "runs"), w.Root, dir, base); err != nil {
		return s, err
	}
	s.bind(base, machine)
	return s, nil
}

// openExecutor makes what executes commands, in the sandbox class that --sandbox asks for: in dir, and keeping what is hidden from them.
func (s *session) openExecutor(dir string, hidden ...string) (err error) {
	const open = "what a run did not declare is not hidden from it"
	s.executor = sandbox.New(s.store, s.trees, dir)
	s.executor.Hide(hidden...)
	if s.cli.flags.verbose > 0 {
		s.executor.Copies(func(why error) {
			s.note("note", fmt.Sprintf("sandbox class full, with copies of all inputs (they can't be mounted here: %v)", why))
		})
	}
	switch s.cli.flags.sandbox {
	case "require":
		if err := s.executor.Require(context.Background()); err != nil {
			return fmt.Errorf("--sandbox require: this machine can't have class full: %w", err)
		}
	case "full":
		s.executor.Shield(func(why error) {
			s.note("note", fmt.Sprintf("sandbox class none: %s (class full can't be had here: %v)", open, why))
		})
	default:
		s.executor.Announce(func() { s.note("note", "sandbox class none: "+open) })
	}
	s.executor.Limits(func(why error) {
		s.note("note", fmt.Sprintf("limits on memory hold for each process only: %v", why))
	})
	s.closers = append(s.closers, s.executor.Close)
	return nil
}

// leastClass is the class in which a run must have been executed for its result to be used.
func (s *session) leastClass() engine.SandboxClass {
	if s.cli.flags.sandbox == "require" {
		return engine.SandboxFull
	}
	return engine.SandboxNone
}

// workspaceName is the directory of a workspace's state: readable, and distinct for distinct roots.
func workspaceName(root string) string {
	sum := sha256.Sum256([]byte(root))
	return strings.Trim(filepath.Base(root), "/.") + "-" + hex.EncodeToString(sum[:6])
}

// bind gives the workspace its runtime.
func (s *session) bind(base, machine string) {
	offline := s.cli.flags.offline || s.cli.flags.frozen
	s.client = download.New(download.Options{
		Version: version, Offline: offline, PerHost: s.cli.flags.connections, Netrc: s.cli.netrc(),
		Tell: func(h download.HostState) { s.tellHost(h) },
	})
	for _, address := range s.workspace.Addresses() {
		s.client.Declare(address)
	}
	s.closers = append(s.closers, s.client.Close)
	registries := registry.All(registry.Options{
		Client: s.client, CacheDir: base,
		Machine: registry.Machine{Env: s.cli.env, Run: registry.Run, Workspace: s.workspace.Root},
	})
	s.runtime = &rules.Runtime{
		Store:      s.store,
		Cache:      s.store,
		Executor:   withFaults(s.executor),
		Sandbox:    s.leastClass(),
		Sources:    &sources{state.NewSources(vfs.OS, s.workspace.Root, s.store, s.table)},
		Pins:       s.lock,
		System:     sandbox.NewSystem("/"),
		Registries: registries,
		Machine:    machine,
		Uses:       s.uses,
		Env:        s.cli.env,
		Offline:    offline,
		Client:     s.client,
		Parts:      s.parts,
		Temp:       s.scratch,
		Preimage:   s.preimage,
	}
	s.workspace.Bind(s.runtime)
}

// openPins opens the lock file and adopts what a killed build found out.
func (s *session) openPins(journal string) error {
	s.journal = state.NewPins(vfs.OS, journal)
	lock, err := s.cli.openLock(s.workspace, s.journal)
	if err != nil {
		return err
	}
	s.lock = &pins{Lock: lock}
	left, err := s.journal.Load()
	if err != nil {
		return err
	}
	for _, p := range left {
		dir, name, _ := strings.Cut(strings.TrimPrefix(p.Target, "//"), ":")
		s.lock.Adopt(engine.Label{Dir: dir, Name: name}, p.Request, p.Answer)
	}
	return nil
}

// takeScratch makes a directory of this process in dir, and removes those that dead processes left there: the lock on a file in it
// ends with the process that holds it.
func (s *session) takeScratch(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	// One process at a time: a directory that was just made and is not locked yet looks like one of the dead.
	guard := flock.New(dir + ".lock")
	if err := guard.Lock(); err != nil {
		return "", err
	}
	defer guard.Close()
	old, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range old {
		path := filepath.Join(dir, e.Name())
		l := flock.New(filepath.Join(path, "lock"))
		if free, err := l.TryLock(); err == nil && free {
			checkout.Remove(path)
			l.Close()
		}
	}
	mine, err := os.MkdirTemp(dir, "")
	if err != nil {
		return "", err
	}
	l := flock.New(filepath.Join(mine, "lock"))
	if _, err := l.TryLock(); err != nil {
		return "", err
	}
	s.closers = append(s.closers, func() {
		checkout.Remove(mine)
		l.Close()
	})
	return mine, nil
}

// notes are warnings of the store, kept until there is somebody to tell them.
type notes struct {
	mu   sync.Mutex
	tell func(severity, text string) // guarded by mu
	kept []string                    // guarded by mu
}

func (n *notes) add(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.tell == nil {
		n.kept = append(n.kept, text)
		return
	}
	n.tell("warning", text)
}

// to tells what was kept and what comes.
func (n *notes) to(tell func(severity, text string)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tell = tell
	for _, text := range n.kept {
		tell("warning", text)
	}
	n.kept = nil
}

func (s *session) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
}

// pins is the lock, remembering that it refused a change.
type pins struct {
	*buildfile.Lock
	mu      sync.Mutex
	refused *buildfile.LockedError // guarded by mu; the first
}

// SetPin is rules.Pins'.
func (p *pins) SetPin(target engine.Label, request, answer string) error {
	err := p.Lock.SetPin(target, request, answer)
	var refused *buildfile.LockedError
	if errors.As(err, &refused) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.refused == nil {
			p.refused = refused
		}
	}
	return err
}

func (p *pins) refusal() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refused == nil {
		return nil
	}
	return p.refused
}

// sources gives the files of the workspace to rules.
type sources struct{ *state.Sources }

// Source is rules.Sources'.
func (s *sources) Source(ctx context.Context, dir, path string) (engine.Artifact, error) {
	src, err := s.Sources.Source(ctx, dir, path)
	if err != nil {
		return engine.Artifact{}, &engine.InvalidError{Err: err}
	}
	a := engine.Artifact{Digest: src.Digest, Executable: src.Executable, Name: src.Name, Source: true}
	if src.Tree {
		a.Kind = engine.TreeKind
	}
	return a, nil
}
