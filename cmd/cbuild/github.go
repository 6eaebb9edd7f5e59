package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cbuild/engine"
	"cbuild/internal/buildfile"
	"cbuild/internal/ui"
	"cbuild/rules/report"
)

// github is how a command that runs on GitHub Actions tells it about what went wrong: annotations on standard error, and the summary of the step.
type github struct {
	w       io.Writer // standard error, of which the runner takes commands
	root    string    // of the repository
	summary string    // the file that the summary is appended to
}

const (
	// maxAnnotations is how many errors of a step GitHub shows.
	maxAnnotations = 10
	// maxSummary is how large the summary of a step may be, in bytes; beyond that GitHub shows nothing of it.
	maxSummary = 1 << 20
	// maxFailed is how many failures are kept for the summary, and annotationLines how many lines of a log an annotation has.
	maxFailed       = 500
	annotationLines = 10
)

// toGitHub makes c tell GitHub, if that is where it runs. All else that c writes to standard error is text then, whoever wrote it.
func (c *cli) toGitHub() {
	if v, _ := c.env("GITHUB_ACTIONS"); v != "true" {
		return
	}
	root, _ := c.env("GITHUB_WORKSPACE")
	summary, _ := c.env("GITHUB_STEP_SUMMARY")
	c.github = &github{c.stderr, root, summary}
	c.stderr = ui.Disarm(c.stderr)
}

// annotate shows errors, no more of them than GitHub does.
func (g *github) annotate(all []ui.Annotation) {
	for _, a := range all[:min(len(all), maxAnnotations)] {
		_, _ = io.WriteString(g.w, a.String())
	}
}

// file names a file of the workspace as GitHub does, "" if it is none of the repository's.
func (g *github) file(workspace, name string) string {
	full := name
	if !filepath.IsAbs(name) {
		full = filepath.Join(workspace, name)
	}
	rel, err := filepath.Rel(g.root, full)
	if g.root == "" || err != nil || !filepath.IsLocal(rel) {
		return ""
	}
	return filepath.ToSlash(rel)
}

// diagnostics shows the errors among them at their places.
func (g *github) diagnostics(diags *buildfile.Diagnostics, file string) {
	if g == nil {
		return
	}
	workspace, _ := buildfile.FindRoot(".", file)
	var all []ui.Annotation
	for _, d := range diags.All() {
		if d.Warning {
			continue
		}
		a := ui.Annotation{Title: d.Summary, Text: cmp.Or(d.Detail, d.Summary)}
		if name, line, column := d.Place(); name != "" {
			if a.File = g.file(workspace, name); a.File != "" {
				a.Line, a.Column = line, column
			}
		}
		all = append(all, a)
	}
	g.annotate(all)
}

// A failure is an instance that was asked for and did not pass.
type failure struct {
	target  *engine.Target
	name    string
	outcome *engine.Outcome
	why     string
}

// words say how it ended.
func (f *failure) words() string {
	if f.outcome.Result == nil {
		return f.why
	}
	text := string(f.outcome.Class())
	if text == "fail" {
		text += fmt.Sprintf(" (exit %d)", f.outcome.Result.ExitCode)
	}
	return text
}

// tellGitHub shows what went wrong of what was asked for, and appends to the summary of the step. Last is the summary of the build.
func (r *run) tellGitHub(last string) {
	g := r.cli.github
	if g == nil {
		return
	}
	r.mu.Lock()
	failures := r.failures
	r.mu.Unlock()
	g.annotate(r.annotations(g, failures))
	if g.summary == "" {
		return
	}
	if err := g.summarize(r.markdown(last, failures)); err != nil {
		r.console.Note("warning", "the summary of the step could not be written: "+err.Error())
	}
}

// annotations are about instances that went wrong themselves: what was skipped or stopped follows from something else.
func (r *run) annotations(g *github, failures []failure) (all []ui.Annotation) {
	for i := range failures {
		f := &failures[i]
		if class := f.outcome.Class(); class == engine.ClassSkipped || class == engine.ClassCancelled {
			continue
		}
		info := r.workspace.Info(f.target)
		a := ui.Annotation{Title: f.name, Text: f.words(), File: g.file(r.workspace.Root, info.File)}
		if a.File != "" {
			a.Line = info.Line
		}
		if f.outcome.Result != nil && len(all) < maxAnnotations {
			a.Text += r.logEnd(f.outcome)
		}
		all = append(all, a)
	}
	return all
}

// logEnd returns the last lines of a log.
func (r *run) logEnd(o *engine.Outcome) string {
	text := strings.TrimRight(string(r.log(o)), "\n")
	if text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	return "\n" + strings.Join(lines[max(len(lines)-annotationLines, 0):], "\n")
}

// markdown is what the summary of the step says: the reports that were asked for, as far as they have one in Markdown, and what failed beside them.
func (r *run) markdown(last string, failures []failure) string {
	var b strings.Builder
	for _, p := range r.published {
		if p.selection.Target.Rule != "collate" {
			continue
		}
		for _, at := range slices.Compact(slices.Sorted(slices.Values(p.reports))) {
			if data, err := os.ReadFile(filepath.Join(p.folder(), at, "summary.md")); err == nil {
				b.Write(data)
				b.WriteString("\n")
			}
		}
	}
	if b.Len() > 0 && len(failures) == 0 {
		return b.String()
	}
	fmt.Fprintf(&b, "%s\n", report.EscapeMarkdown(last))
	if len(failures) > 0 {
		b.WriteString("\n| instance | outcome | |\n|---|---|---|\n")
	}
	for i := range failures {
		f := &failures[i]
		why := f.words()
		if f.outcome.Result != nil {
			why = strings.TrimPrefix(why, string(f.outcome.Class()))
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", report.EscapeMarkdown(f.name), f.outcome.Class(), report.EscapeMarkdown(strings.TrimSpace(why)))
	}
	if more := r.failed - len(failures); more > 0 {
		fmt.Fprintf(&b, "\n%s more failed.\n", ui.Thousands(more))
	}
	return b.String()
}

// summarize appends text to the summary of the step, or as much of it as GitHub takes.
func (g *github) summarize(text string) error {
	info, err := os.Stat(g.summary)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	room := int64(maxSummary)
	if err == nil {
		room -= info.Size()
	}
	if text = cutAtLine(text, room); text == "" {
		return nil
	}
	f, err := os.OpenFile(g.summary, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return cmp.Or(err, f.Close())
}

// cutAtLine returns as many whole lines of text as there is room for, with a note if that is not all.
func cutAtLine(text string, room int64) string {
	const note = "\n… cut: the summary of a step has 1 MiB at most.\n"
	if int64(len(text)) <= room {
		return text
	}
	if room < int64(len(note)) {
		return ""
	}
	text = text[:room-int64(len(note))]
	return text[:strings.LastIndexByte(text, '\n')+1] + note
}
