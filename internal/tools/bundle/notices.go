package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// notices returns the licences of the packages that a bundle holds something of. Its metafile names each file that went in.
func notices(dir, metafile string) ([]byte, error) {
	var meta struct {
		Outputs map[string]struct {
			Inputs map[string]struct{ BytesInOutput int }
		}
	}
	if err := json.Unmarshal([]byte(metafile), &meta); err != nil {
		return nil, err
	}
	var packages []string
	for _, out := range meta.Outputs {
		for name := range out.Inputs {
			if p := packageOf(name); p != "" && !slices.Contains(packages, p) {
				packages = append(packages, p)
			}
		}
	}
	slices.Sort(packages)
	text := []byte("The report page holds the following packages besides cbuild's own sources.\n")
	for _, p := range packages {
		notice, err := notice(filepath.Join(dir, "node_modules", filepath.FromSlash(p)))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		text = append(text, "\n"+notice...)
	}
	return text, nil
}

// packageOf returns the name of the package that an input of a bundle belongs to, empty for our own.
func packageOf(input string) string {
	rest, ok := strings.CutPrefix(input, "node_modules/")
	if !ok {
		return ""
	}
	parts := strings.SplitN(rest, "/", 3)
	if strings.HasPrefix(rest, "@") {
		return strings.Join(parts[:2], "/")
	}
	return parts[0]
}

func notice(dir string) (string, error) {
	var about struct{ Name, Version, License string }
	data, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(data, &about); err != nil {
		return "", err
	}
	licence, err := os.ReadFile(filepath.Join(dir, "LICENSE"))
	if err != nil {
		return "", err
	}
	text := strings.ReplaceAll(strings.TrimSpace(string(licence)), "\r\n", "\n")
	return fmt.Sprintf("%s %s (%s)\n\n%s\n", about.Name, about.Version, about.License, text), nil
}
