package local

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"cbuild/cas"
	"cbuild/engine"
)

// A Report says what Verify saw.
type Report struct {
	Blobs, Records int
	// Bytes is what the files of sound blobs and records take.
	Bytes int64
	// Damaged are the files that were moved to quarantine or can't be read, relative to the store.
	Damaged []string
}

// Verify reads every blob and record. What is damaged goes to quarantine, so that a second Verify finds nothing. Builds may run at the
// same time.
func (l *Local) Verify(ctx context.Context) (Report, error) {
	var rep Report
	err := l.each(ctx, "blob", func(name string, fi fs.FileInfo) {
		if l.verifyBlob(ctx, name) {
			rep.Blobs++
			rep.Bytes += fi.Size()
		} else if ctx.Err() == nil {
			rep.Damaged = append(rep.Damaged, l.relative(name))
		}
	})
	if err == nil {
		err = l.each(ctx, "ac", func(name string, fi fs.FileInfo) {
			if l.verifyRecord(name) {
				rep.Records++
				rep.Bytes += fi.Size()
			} else {
				rep.Damaged = append(rep.Damaged, l.relative(name))
			}
		})
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return rep, fmt.Errorf("verify: %w", err)
	}
	return rep, nil
}

// Usage counts blobs, records and their bytes without reading them.
func (l *Local) Usage(ctx context.Context) (Report, error) {
	var rep Report
	err := l.each(ctx, "blob", func(_ string, fi fs.FileInfo) { rep.Blobs, rep.Bytes = rep.Blobs+1, rep.Bytes+fi.Size() })
	if err == nil {
		err = l.each(ctx, "ac", func(_ string, fi fs.FileInfo) { rep.Records, rep.Bytes = rep.Records+1, rep.Bytes+fi.Size() })
	}
	return rep, err
}

func (l *Local) relative(name string) string { return strings.TrimPrefix(name, l.dir+"/") }

// each calls do for the files of the store's directory sub.
func (l *Local) each(ctx context.Context, sub string, do func(name string, fi fs.FileInfo)) error {
	shards, err := l.fs.ReadDir(filepath.Join(l.dir, sub))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, shard := range shards {
		dir := filepath.Join(l.dir, sub, shard.Name())
		files, err := l.fs.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := ctx.Err(); err != nil {
				return err
			}
			fi, err := f.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			do(filepath.Join(dir, f.Name()), fi)
		}
	}
	return nil
}

// hashOf returns the hash that a file is named by, if its name and place are right.
func hashOf(name string) (hash [32]byte, ok bool) {
	base := filepath.Base(name)
	if len(base) != 64 || filepath.Base(filepath.Dir(name)) != base[:2] || strings.ToLower(base) != base {
		return hash, false
	}
	_, err := hex.Decode(hash[:], []byte(base))
	return hash, err == nil
}

func (l *Local) verifyBlob(ctx context.Context, name string) bool {
	form := raw
	if filepath.Ext(name) == string(compressed) {
		form = compressed
	}
	hash, ok := hashOf(strings.TrimSuffix(name, string(form)))
	if !ok {
		l.quarantine(name)
		return false
	}
	l.checked.remove(hash)
	r, err := l.openForm(ctx, cas.Digest{Function: cas.BLAKE3, Hash: hash, Size: -1}, form)
	if err != nil {
		return false
	}
	return r.Close() == nil
}

func (l *Local) verifyRecord(name string) bool {
	hash, ok := hashOf(name)
	if !ok {
		l.quarantine(name)
		return false
	}
	r, _, err := l.load(engine.Key(hash))
	return err == nil && r != nil
}
