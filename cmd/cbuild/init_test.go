package main

import (
	"bytes"
	"os"
	"path/filepath"
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
