package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"cbuild/cas"
	"cbuild/cas/local"
	"cbuild/internal/vfs"
)

func (c *cli) casCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "cas", Short: "Look at the store", Example: "  cbuild cas stats",
		Long: "cas looks at the store, in which everything that was made lies under the digest of its content, and at the results in it.",
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "stats", Short: "Count what the store holds, and what for", Example: "  cbuild cas stats --cas /mnt/shared/store", Args: cobra.NoArgs,
			Long: "cas stats counts what the store holds, what lies where, and what each kind of target uses. Within a workspace it also counts for each of its\n" +
				"targets the results of the last build and the blobs that nothing else in the workspace uses, and shows apart what several of them use.",
			RunE: func(*cobra.Command, []string) error { return c.withStore(c.casStats) },
		},
		c.casVerifyCommand(),
		c.casGCCommand(),
		c.casExportCommand(),
		c.casImportCommand(),
		&cobra.Command{
			Use: "get DIGEST", Short: "Print a blob", Example: "  cbuild cas get b3:0d1f… > file   # digests stand in cbuild show", Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error {
				return c.withStore(func(s *local.Local) error { return c.casGet(s, args[0]) })
			},
		})
	return cmd
}

func (c *cli) withStore(f func(*local.Local) error) error {
	dir, err := c.storeDir()
	if err != nil {
		return err
	}
	s, err := local.Open(dir, local.Options{FS: vfs.OS, Durability: c.durability()})
	if err != nil {
		return usagef("cannot open the store: %w", err)
	}
	defer s.Close()
	return f(s)
}

func (c *cli) casVerifyCommand() *cobra.Command {
	var sample string
	var repair bool
	cmd := &cobra.Command{
		Use: "verify", Short: "Check every blob and record; exit 1 if something is damaged",
		Example: "  cbuild cas verify\n  cbuild cas verify --repair", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			part, err := parseSample(sample)
			if err != nil {
				return err
			}
			return c.withStore(func(s *local.Local) error { return c.casVerify(s, part, repair) })
		},
	}
	cmd.Flags().StringVar(&sample, "sample", "", "check only the part `N/T`, as 1/30 on the first of thirty days")
	cmd.Flags().BoolVar(&repair, "repair", false, "take what is damaged out of the store")
	return cmd
}

// parseSample reads N/T; nothing is all.
func parseSample(s string) (part local.Sample, err error) {
	if s == "" {
		return part, nil
	}
	n, t, _ := strings.Cut(s, "/")
	part.N, err = strconv.Atoi(n)
	if err == nil {
		part.T, err = strconv.Atoi(t)
	}
	if err != nil || part.N < 1 || part.N > part.T || part.T > 256 {
		return part, usagef("--sample %s: want N/T with 1 ≤ N ≤ T ≤ 256, as 1/30", s)
	}
	return part, nil
}

func (c *cli) casVerify(s *local.Local, part local.Sample, repair bool) error {
	r, err := s.Verify(context.Background(), part)
	if err != nil {
		return &statusError{exitTrouble, err}
	}
	fmt.Fprintf(c.stdout, "%d blobs, %d records, %d bytes\n", r.Blobs, r.Records, r.Bytes)
	for _, d := range r.Damaged {
		fmt.Fprintf(c.stdout, "damaged: %s\n", d)
	}
	if repair {
		packs, err := s.Repair(context.Background())
		if err != nil {
			return &statusError{exitTrouble, err}
		}
		fmt.Fprintf(c.stdout, "%d packs written anew, quarantine emptied\n", packs)
	}
	if len(r.Damaged) == 0 {
		return nil
	}
	fmt.Fprintf(c.stderr, "What is damaged counts as missing: run your build again, it makes again what it needs of it.\n")
	if !repair {
		fmt.Fprintf(c.stderr, "To take it out of the store: cbuild cas verify --repair. If this happens again, look at the disk and the memory.\n")
	}
	return &statusError{status: exitFailed}
}

func (c *cli) casGet(s *local.Local, digest string) error {
	d, err := cas.ParseDigest(digest)
	if err != nil {
		return usagef("%w", err)
	}
	r, err := s.Open(context.Background(), d)
	if err != nil {
		return &statusError{exitFailed, err}
	}
	defer r.Close()
	_, err = io.Copy(c.stdout, r)
	return err
}
