package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// writeManual writes all man pages, and returns their paths.
func writeManual(t *testing.T) (paths []string) {
	var names bytes.Buffer
	c := &cli{stdout: &output{to: &names}, stderr: io.Discard, env: os.LookupEnv}
	if err := c.man(c.root(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	return strings.Fields(names.String())
}

// Every page has its sections, and no host or path of this machine.
func TestManPagesAreComplete(t *testing.T) {
	const home = "/somebody/lives/here"
	t.Setenv("HOME", home)
	paths := writeManual(t)
	if len(paths) < 30 {
		t.Errorf("there are %d pages", len(paths))
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sections := []string{"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO"}
		if filepath.Base(path) == "cbuild-language.7" {
			sections = []string{"NAME", `RUN: A COMMAND`}
		}
		for _, section := range sections {
			if !strings.Contains(string(data), "\n.SH "+section+"\n") {
				t.Errorf("%s has no section %s", filepath.Base(path), section)
			}
		}
		if strings.Contains(string(data), home) {
			t.Errorf("%s names this machine's %s", filepath.Base(path), home)
		}
	}
}

// What shows man pages has nothing to say against ours.
func TestManPagesAreAccepted(t *testing.T) {
	paths := writeManual(t)
	for _, tool := range [][]string{
		{"groff", "-man", "-Tutf8", "-ww", "-rLL=80n", "-z"},
		{"mandoc", "-T", "lint", "-W", "warning"},
	} {
		t.Run(tool[0], func(t *testing.T) {
			program, err := exec.LookPath(tool[0])
			if err != nil {
				t.Skipf("SKIPPED: there is no %s here", tool[0])
			}
			for _, path := range paths {
				cmd := exec.CommandContext(t.Context(), program, append(tool[1:], path)...)
				if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
					t.Errorf("%v: %s", err, out)
				}
			}
		})
	}
}

// man shows what help says: the words of it, in their order.
func TestManShowsWhatHelpSays(t *testing.T) {
	program, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("SKIPPED: there is no groff here")
	}
	for _, path := range writeManual(t) {
		if filepath.Base(path) != "cbuild-watch.1" {
			continue
		}
		out, err := exec.CommandContext(t.Context(), program, "-man", "-Tascii", "-P-cbou", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		text := regexp.MustCompile(`\s+`).ReplaceAllString(string(out), " ")
		for _, want := range []string{
			"cbuild-watch - build, and build again whenever a file changes", "watch builds, and builds again whenever files of the workspace change: BUILD.hcl files,",
			"-j, --jobs N how many actions run at a time", "cbuild watch report edition=2024", "130, 143 SIGINT, SIGTERM", "CBUILD_VAR_NAME the value of the variable",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("the page does not say %q: %s", want, text)
			}
		}
	}
}
