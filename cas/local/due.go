package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

const (
	// collectEvery is how often a store is collected without being asked.
	collectEvery = 24 * time.Hour
	// mergeFrom is from how many packs on they are merged without waiting for that.
	mergeFrom = 64
	// sampled is how many of the 256 directories of loose blobs tell how large all of them are.
	sampled = 2
)

// CollectIfDue collects if this process has written something, and the last collection was a day ago, or there are very many packs, or
// the store seems to have more than keep bytes. It reports whether it did. Whatever ends it, ctx included, costs nothing but room.
func (l *Local) CollectIfDue(ctx context.Context, keep int64) (done bool, err error) {
	if l.readOnly || !l.wrote() {
		return false, nil
	}
	stamp := filepath.Join(l.own, "collected")
	fi, err := l.fs.Stat(stamp)
	if errors.Is(err, fs.ErrNotExist) {
		return false, l.writeFile(stamp, []byte("cbuild-collected 1\n")) // a day from now
	}
	if err != nil {
		return false, err
	}
	now, err := l.serverTime()
	if err != nil {
		return false, err
	}
	if now.Sub(fi.ModTime()) < collectEvery && len(l.packs.all()) < mergeFrom && l.Estimate() <= keep {
		return false, nil
	}
	// Should it take too long, the next build must not try at once again.
	if err := l.writeFile(stamp, []byte("cbuild-collected 1\n")); err != nil {
		return false, err
	}
	if _, err := l.Collect(ctx, Limits{Keep: keep - keep/10}); errors.Is(err, ErrCollecting) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("collecting what is not used: %w", err)
	}
	return true, nil
}

// wrote reports whether this process has added to the store.
func (l *Local) wrote() bool {
	return l.counters.records.Load() > 0 || l.counters.puts.Load() > l.counters.existing.Load()
}

// Estimate returns about how many bytes the store has: packs are known, and names of loose blobs are random.
func (l *Local) Estimate() (bytes int64) {
	for _, p := range l.packs.all() {
		if filepath.Dir(p.dir) == l.own {
			bytes += p.length()
		}
	}
	shards, _ := l.fs.ReadDir(filepath.Join(l.own, "blob"))
	looked := int64(0)
	loose := int64(0)
	for i := range min(sampled, len(shards)) {
		shard := shards[(int(l.id[0])+i*len(shards)/sampled)%len(shards)]
		files, err := l.fs.ReadDir(filepath.Join(l.own, "blob", shard.Name()))
		if err != nil {
			continue
		}
		looked++
		for _, f := range files {
			if fi, err := f.Info(); err == nil {
				loose += fi.Size()
			}
		}
	}
	if looked > 0 {
		bytes += loose * int64(len(shards)) / looked
	}
	return bytes
}
