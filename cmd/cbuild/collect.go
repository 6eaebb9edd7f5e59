package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"cbuild/cas/local"
	"cbuild/engine"
	"cbuild/internal/buildfile"
)

const (
	// keepMost is how large a store may become by default, unless a fifth of its file system is less.
	keepMost = 50 << 30
	// collectFor is how long a collection at the end of a build may take.
	collectFor = 10 * time.Second
)

// keepDefault is how large the store in dir may become.
func keepDefault(dir string) int64 {
	var st syscall.Statfs_t
	if syscall.Statfs(dir, &st) != nil {
		return keepMost
	}
	return int64(min(keepMost, uint64(st.Bsize)*st.Blocks/5))
}

// keep is how large the store in dir may become: as it is set, or by default.
func (c *cli) keep(dir string) int64 {
	if c.flags.keep > 0 {
		return c.flags.keep
	}
	return keepDefault(dir)
}

// collect keeps the store within its size, after everything else is done. What goes wrong costs room, not the build: it is told to those
// who want to know more, for the summary is the last line.
func (r *run) collect() {
	ctx, cancel := context.WithTimeout(context.Background(), collectFor)
	defer cancel()
	if _, err := r.store.CollectIfDue(ctx, r.cli.keep(r.store.Dir())); err != nil && r.cli.flags.verbose > 0 {
		r.console.Note("warning", "the store could not be tidied up: "+err.Error())
	}
}

func (c *cli) casGCCommand() *cobra.Command {
	var keep int64
	var older string
	var dry bool
	cmd := &cobra.Command{
		Use: "gc", Short: "Take away what builds did not use for the longest time; results stay",
		Example: "  cbuild cas gc -n\n  cbuild cas gc --keep 300GB --older 30d", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			limits := local.Limits{Keep: -1, Dry: dry}
			var err error
			if older != "" {
				limits.Older, err = parseAge(older)
			}
			if err != nil {
				return err
			}
			given := cmd.Flags().Changed("keep")
			if given {
				limits.Keep = keep
			}
			return c.withStore(func(s *local.Local) error {
				if !given && older == "" {
					limits.Keep = c.keep(s.Dir())
				}
				return c.casGC(s, limits)
			})
		},
	}
	cmd.Flags().Var(&size{&keep}, "keep", "the `SIZE` that may stay, as 300GB; a fifth of the disk, at most 50GB, if neither this nor --older is given")
	cmd.Flags().StringVar(&older, "older", "", "take also what was not used for a `TIME` as 30d or 12h, even if there is room")
	cmd.Flags().BoolVarP(&dry, "dry-run", "n", false, "only say what would go")
	return cmd
}

func (c *cli) casGC(s *local.Local, limits local.Limits) error {
	r, err := s.Collect(context.Background(), limits)
	if err != nil {
		return &statusError{exitTrouble, err}
	}
	if limits.Dry {
		fmt.Fprintf(c.stdout, "%d blobs, %s would go; %s would stay\n", r.Blobs, sizeText(r.Before-r.After), sizeText(r.After))
		return nil
	}
	fmt.Fprintf(c.stdout, "%d blobs, %s moved to trash; %s stay; %s of an earlier collection deleted\n", r.Blobs, sizeText(r.Before-r.After), sizeText(r.After), sizeText(r.Purged))
	if r.Blobs > 0 {
		fmt.Fprintln(c.stderr, "What is in trash is back when a build needs it; the next cbuild cas gc deletes it.")
	}
	return nil
}

// units are those of sizes, as users of disks write them.
var units = []struct {
	name  string
	bytes int64
}{{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1}}

// sizeText is how people read a size.
func sizeText(n int64) string {
	for _, u := range units {
		if n >= u.bytes && u.bytes > 1 {
			return strconv.FormatFloat(float64(n)/float64(u.bytes), 'f', 1, 64) + " " + u.name
		}
	}
	return strconv.FormatInt(n, 10) + " B"
}

// parseAge reads a duration, with days and weeks, too.
func parseAge(s string) (time.Duration, error) {
	for suffix, unit := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if n, ok := strings.CutSuffix(s, suffix); ok {
			if days, err := strconv.ParseFloat(n, 64); err == nil && days > 0 && days < 1e5 {
				return time.Duration(days * float64(unit)), nil
			}
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, usagef("--older %s: want a time as 30d or 12h", s)
	}
	return d, nil
}

func (c *cli) casExportCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "export TARGET… -o FILE", Short: "Write stored results and all of their blobs to one file",
		Example: "  cbuild cas export report -o report.cbuild", Args: cobra.MinimumNArgs(1), ValidArgsFunction: c.completeTargets,
		RunE: func(_ *cobra.Command, args []string) error { return c.casExport(args, file) },
	}
	cmd.Flags().StringVarP(&file, "output", "o", "", "the `FILE` to write")
	_ = cmd.MarkFlagRequired("output") // the flag is there
	return cmd
}

// casExport writes what is stored of targets and all that they need. Nothing is run and nobody is asked.
func (c *cli) casExport(args []string, file string) error {
	keys := make(map[engine.Key]bool)
	var moved local.Moved
	err := c.inspect(args, func(s *session, sel buildfile.Selection) error {
		b := engine.New(engine.Options{
			Targets: s.workspace.Targets, Cache: s.store, Jobs: 1, Connections: 1, Window: 64, Spool: s.spool, Stored: true,
			Observer: stored(keys),
		})
		if err := b.Run(context.Background(), []engine.Want{sel.Want()}); err != nil {
			return err
		}
		var err error
		moved, err = s.exportTo(file, keys)
		return err
	})
	if err != nil {
		return err
	}
	if moved.Records == 0 {
		return &statusError{exitFailed, fmt.Errorf("nothing of %s is stored: build it first", strings.Join(args, " "))}
	}
	fmt.Fprintf(c.stdout, "%d results, %d blobs, %s\n", moved.Records, moved.Blobs, sizeText(moved.Bytes))
	if moved.Lost > 0 {
		fmt.Fprintf(c.stderr, "Of %d results not all blobs are in the store: whoever imports this makes them again if they are needed.\n", moved.Lost)
	}
	return nil
}

// stored collects the keys of what is finished.
type stored map[engine.Key]bool

// Observe is engine.Observer's.
func (s stored) Observe(e engine.Event) {
	if e.Type == engine.EventFinished && e.Outcome.Result != nil && !e.Outcome.Key.IsZero() {
		s[e.Outcome.Key] = true
	}
}

// exportTo replaces file when all is written.
func (s *session) exportTo(file string, keys map[engine.Key]bool) (m local.Moved, err error) {
	f, err := os.CreateTemp(filepath.Dir(file), ".export-*")
	if err != nil {
		return m, usagef("%w", err)
	}
	defer os.Remove(f.Name()) // nothing, if it was renamed
	m, err = s.store.Export(context.Background(), f, func(yield func(engine.Key) bool) {
		for k := range keys {
			if !yield(k) {
				return
			}
		}
	})
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil && m.Records > 0 {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return m, &statusError{exitTrouble, err}
	}
	return m, nil
}

func (c *cli) casImportCommand() *cobra.Command {
	return &cobra.Command{
		Use: "import FILE", Short: "Take what cas export has written into the store",
		Example: "  cbuild cas import report.cbuild", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return usagef("%w", err)
			}
			defer f.Close() // nothing was written
			return c.withStore(func(s *local.Local) error {
				m, err := s.Import(context.Background(), f)
				status := exitTrouble
				if errors.Is(err, local.ErrExport) {
					status = exitFailed
				}
				if err != nil {
					return &statusError{status, fmt.Errorf("%s: %w", args[0], err)}
				}
				fmt.Fprintf(c.stdout, "%d results, %d blobs, %s\n", m.Records, m.Blobs, sizeText(m.Bytes))
				return nil
			})
		},
	}
}
