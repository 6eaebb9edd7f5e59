package main

import (
	"errors"
	"fmt"
	"io/fs"

	"cbuild/engine"
	"cbuild/internal/history"
)

// lastFailed calls use for each instance that was no pass in the last build of a workspace that had any instances.
func (c *cli) lastFailed(root string, use func(target string, instance []string)) error {
	dir, err := c.historyDir(root)
	if err != nil {
		return err
	}
	const builds = 100 // that came to nothing, one after the other
	for _, b := range history.Recent(dir, builds) {
		results := 0
		err := history.Read(dir, b.ID, func(r history.Result) bool {
			results++
			if r.Outcome != string(engine.ClassPass) {
				use(r.Target, r.Instance)
			}
			return true
		})
		if results > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// noneFailed says why nothing is built.
func (c *cli) noneFailed() {
	if !c.quiet() && !c.flags.question {
		fmt.Fprintln(c.stderr, "Nothing that failed in the last build is left.")
	}
}
