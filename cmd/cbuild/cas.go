package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cbuild/cas"
	"cbuild/cas/local"
	"cbuild/internal/vfs"
)

func (c *cli) casCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "cas", Short: "Look at the store"}
	cmd.AddCommand(
		&cobra.Command{
			Use: "stats", Short: "Count what the store holds", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return c.withStore(c.casStats) },
		},
		&cobra.Command{
			Use: "verify", Short: "Check every blob and record; exit 1 if something is damaged", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return c.withStore(c.casVerify) },
		},
		&cobra.Command{
			Use: "get DIGEST", Short: "Print a blob", Args: cobra.ExactArgs(1),
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
	s, err := local.Open(dir, local.Options{FS: vfs.OS})
	if err != nil {
		return usagef("cannot open the store: %w", err)
	}
	defer s.Close()
	return f(s)
}

func (c *cli) casVerify(s *local.Local) error {
	r, err := s.Verify(context.Background(), local.Sample{})
	if err != nil {
		return &statusError{exitTrouble, err}
	}
	fmt.Fprintf(c.stdout, "%d blobs, %d records, %d bytes\n", r.Blobs, r.Records, r.Bytes)
	if len(r.Damaged) == 0 {
		return nil
	}
	for _, d := range r.Damaged {
		fmt.Fprintf(c.stdout, "damaged: %s\n", d)
	}
	fmt.Fprintf(c.stderr, "What is damaged counts as missing: the next build makes again what it needs of it.\n")
	return &statusError{status: exitFailed}
}

func (c *cli) casStats(s *local.Local) error {
	r, err := s.Usage(context.Background())
	if err != nil {
		return &statusError{exitTrouble, err}
	}
	fmt.Fprintf(c.stdout, "%s\n%d blobs, %d records, %d bytes\n", s.Dir(), r.Blobs, r.Records, r.Bytes)
	return nil
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
