package sandbox

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"cbuild/engine"
)

// A Stage is a command's directory, world and environment, prepared and waiting. It is for people who want to look around in there.
type Stage struct{ r *run }

// Stage prepares everything for c, as Execute does, and starts nothing. The caller closes it.
func (x *Executor) Stage(ctx context.Context, c *engine.Command) (*Stage, error) {
	r, err := x.newRun(ctx, c)
	if err != nil {
		return nil, err
	}
	return &Stage{r}, nil
}

// Close leaves nothing of it behind.
func (s *Stage) Close() { s.r.close() }

// Place returns the directory in which the command starts, as it sees it itself, and the command.
func (s *Stage) Place() (dir string, argv []string) {
	dir = s.r.path(s.r.c.Dir)
	if s.r.box != nil {
		dir = path.Join(boxWork, s.r.c.Dir)
	}
	for _, a := range s.r.c.Argv {
		argv = append(argv, s.r.expand.Replace(a))
	}
	return dir, argv
}

// Interact runs another program there, with these streams, until it ends or ctx does, and returns its exit code. If standard input is a terminal that
// belongs to no session, it becomes the program's. What could not be started is said on the third stream.
func (s *Stage) Interact(ctx context.Context, argv []string, files [3]*os.File, terminal bool) (int, error) {
	c := *s.r.c
	c.Argv, c.Timeout = argv, 0
	s.r.c = &c
	str := &streams{terminal: terminal}
	defer str.close()
	for i, f := range []**os.File{&str.in, &str.out.w, &str.err.w} {
		fd, err := syscall.Dup(int(files[i].Fd())) // what we give away is closed on the way
		if err != nil {
			return 0, err
		}
		syscall.CloseOnExec(fd)
		*f = os.NewFile(uintptr(fd), files[i].Name())
	}
	res, err := s.r.executeWith(ctx, str)
	if err != nil {
		return 0, err
	}
	if log := s.r.log.content(); len(log) > 0 {
		_, err = files[2].Write(log)
	}
	return res.ExitCode, err
}

// Listing writes a command as a script for people to read: where it starts, its environment, and what is executed. Things have the places that
// they have in class full.
func Listing(c *engine.Command, quote func(...string) string) string {
	tokens := []string{engine.WorkDir, boxWork, engine.ScriptPath, boxScript}
	for i := range c.Tools {
		tokens = append(tokens, engine.ToolDir(i), fmt.Sprintf("%s/%d", boxTools, i))
	}
	expand := strings.NewReplacer(tokens...).Replace
	var b strings.Builder
	fmt.Fprintf(&b, "cd %s\n", quote(path.Join(boxWork, c.Dir)))
	b.WriteString("env -i")
	for _, e := range c.Env {
		b.WriteString(" " + quote(expand(e)))
	}
	b.WriteString(" \\\n ")
	for _, a := range c.Argv {
		b.WriteString(" " + quote(expand(a)))
	}
	b.WriteByte('\n')
	for _, name := range slices.Sorted(maps.Keys(c.Secrets)) {
		fmt.Fprintf(&b, "# and %s, which holds a secret\n", name)
	}
	if c.Script != "" {
		fmt.Fprintf(&b, "# %s:\n%s\n", boxScript, strings.TrimSuffix(expand(c.Script), "\n"))
	}
	return b.String()
}
