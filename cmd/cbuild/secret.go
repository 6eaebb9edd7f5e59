package main

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"time"
)

// secretTimeout bounds how long a command may take to print a secret: it may ask a server, but nobody sits there to be asked.
const secretTimeout = time.Minute

// secretOutput returns what a command of this machine prints. What it says on standard error is not passed on, and nor is what it printed if it
// fails: either may hold what is secret.
func secretOutput(ctx context.Context, dir string, argv []string) (string, error) {
	if len(argv) == 0 {
		return "", errors.New("it has no program")
	}
	ctx, cancel := context.WithTimeout(ctx, secretTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.WaitDelay = dir, &out, time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return out.String(), err
}
