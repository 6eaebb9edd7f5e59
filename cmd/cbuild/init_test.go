package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestTemplatesAreTheExamples keeps the starter files and the examples of this repository, which are tested, the same.
func TestTemplatesAreTheExamples(t *testing.T) {
	for template, example := range map[string]string{"c": "hello", "data": "data"} {
		files, err := templateFiles(template)
		if err != nil || len(files) == 0 {
			t.Errorf("template %s: %d files, %v", template, len(files), err)
		}
		for name, starter := range files {
			want, err := os.ReadFile(filepath.Join("../../examples", example, name))
			if err != nil || !bytes.Equal(starter, want) {
				t.Errorf("template %s: %s is not that of examples/%s: %v", template, name, example, err)
			}
		}
	}
}

// Every template that there is is offered, and nothing else.
func TestTemplatesAreOffered(t *testing.T) {
	entries, err := templates.ReadDir("templates")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, templateNames()) {
		t.Errorf("there are %q, offered are %q", names, templateNames())
	}
}
