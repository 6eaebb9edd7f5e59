package local

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// beatEvery is how often a process shows that it is alive.
	beatEvery = 5 * time.Second
	// staleAfter is for how long a beat may stand still, on the clock of who looks, until its process counts as dead.
	staleAfter = 30 * time.Second
)

// agentMagic begins a beat.
const agentMagic = "cbuild-agent 1\n"

// An agent is what a process tells others of itself: a file that is replaced every few seconds with a higher counter.
type agent struct {
	counter uint64
	host    string
	pid     int
	// packs are how many bytes of each of its live packs are good.
	packs map[uint32]int64
}

// encode returns the text of a beat: lines of a word and a value, and their checksum.
func (a *agent) encode() []byte {
	buf := fmt.Appendf([]byte(agentMagic), "counter %d\nhost %q\npid %d\n", a.counter, a.host, a.pid)
	for _, n := range slices.Sorted(maps.Keys(a.packs)) {
		buf = fmt.Appendf(buf, "pack %d %d\n", n, a.packs[n])
	}
	return fmt.Appendf(buf, "sum %08x\n", crc32.Checksum(buf, castagnoli))
}

// decodeAgent reads what encode wrote. Lines that it does not know are left out.
func decodeAgent(data []byte) (a agent, ok bool) {
	i := bytes.LastIndex(data, []byte("sum "))
	if i < 0 || !bytes.HasPrefix(data, []byte(agentMagic)) || string(data[i:]) != fmt.Sprintf("sum %08x\n", crc32.Checksum(data[:i], castagnoli)) {
		return a, false
	}
	a.packs = make(map[uint32]int64)
	for line := range strings.Lines(string(data[:i])) {
		word, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch word {
		case "counter":
			a.counter, _ = strconv.ParseUint(value, 10, 64)
		case "host":
			a.host, _ = strconv.Unquote(value)
		case "pid":
			a.pid, _ = strconv.Atoi(value)
		case "pack":
			n, length, _ := strings.Cut(value, " ")
			number, err := strconv.ParseUint(n, 10, 32)
			if bytes, lerr := strconv.ParseInt(length, 10, 64); err == nil && lerr == nil {
				a.packs[uint32(number)] = bytes
			}
		}
	}
	return a, true
}

func (l *Local) agentPath(id [16]byte) string {
	return filepath.Join(l.own, "agents", hex.EncodeToString(id[:]))
}

// beat shows others that this process is alive, and how far its packs go. What goes wrong costs others a wait, or work.
func (l *Local) beat() {
	l.pins.flush()
	l.beating.Lock()
	defer l.beating.Unlock()
	host, _ := os.Hostname()
	l.beats++
	a := agent{counter: l.beats, host: host, pid: os.Getpid(), packs: make(map[uint32]int64)}
	for _, p := range l.packs.all() {
		if p.own && p.live {
			a.packs[p.id.n] = p.length()
		}
	}
	_ = l.writeFile(l.agentPath(l.id), a.encode())
}

// sightings remember when the beats of others moved last.
type sightings struct {
	mu   sync.Mutex
	seen map[[16]byte]sighting // guarded by mu
}

type sighting struct {
	counter uint64
	at      time.Duration
}

// still returns for how long the counter of id has stood still, as far as this process has seen.
func (s *sightings) still(id [16]byte, counter uint64, now time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = make(map[[16]byte]sighting)
	}
	last, ok := s.seen[id]
	if !ok || last.counter != counter {
		last = sighting{counter, now}
		s.seen[id] = last
	}
	return now - last.at
}

// alive reports whether the process of id may be alive: its death is not proven, and its beat has not stood still for too long.
func (l *Local) alive(id [16]byte) bool {
	if id == l.id {
		return true
	}
	dir := filepath.Join(l.own, "tmp", hex.EncodeToString(id[:]))
	if l.dead(dir, place(l.fs)) {
		return false
	}
	data, err := l.fs.ReadFile(l.agentPath(id))
	a, ok := decodeAgent(data)
	if err != nil || !ok {
		if _, err := l.fs.Stat(dir); err != nil {
			return false // it has ended in good order
		}
	}
	return l.sightings.still(id, a.counter, l.clock.Elapsed()) < staleAfter
}

// observe seals what processes left that died where nobody can prove it.
func (l *Local) observe() {
	for _, p := range l.packs.all() {
		if p.live && !p.own && filepath.Dir(p.dir) == l.own && !l.alive(p.id.incarnation) {
			l.bury(p.id.incarnation)
		}
	}
}

// bury seals the packs of an incarnation that is dead, and removes what else it left.
func (l *Local) bury(id [16]byte) {
	if l.heal(id) {
		_ = l.fs.RemoveAll(filepath.Join(l.own, "tmp", hex.EncodeToString(id[:])))
		_ = l.fs.Remove(l.agentPath(id))
	}
}
