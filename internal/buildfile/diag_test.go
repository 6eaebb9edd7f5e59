package buildfile

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestDiagnostics compares everything that is said about files with mistakes: all at once, with place, reason, and what to do.
func TestDiagnostics(t *testing.T) {
	files, err := filepath.Glob("testdata/diag/*.[hj]*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, name := range files {
		as := FileName
		if filepath.Ext(name) == ".json" {
			as = JSONName
		}
		t.Run(strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)), func(t *testing.T) {
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			_, diags := Load(testOptions(write(t, map[string]string{as: string(src)})))
			var got strings.Builder
			for _, d := range diags.All() {
				got.WriteString(severity(d.Warning, "["+d.Code()+"]", false) + d.text(0) + "\n\n")
			}
			golden := strings.TrimSuffix(name, filepath.Ext(name)) + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
			}
		})
	}
}
