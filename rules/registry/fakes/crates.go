package fakes

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
)

// crates answers GET /index/config.json, /index/PREFIX/NAME with an entity tag, /static/crates/NAME/VERSION/download, and
// /static/db-dump.tar.gz.
func (w *World) crates(rest, base string) *answer {
	switch {
	case rest == "index/config.json":
		return jsonAnswer(map[string]string{"dl": base + "/static/crates", "api": base})
	case rest == "static/db-dump.tar.gz":
		return &answer{body: dump(w.of("crates.io"))}
	}
	if file, ok := strings.CutPrefix(rest, "static/crates/"); ok {
		for _, p := range w.of("crates.io") {
			if file == p.Name+"/"+p.Version+"/download" {
				return &answer{body: crate(p)}
			}
		}
		return nil
	}
	place, ok := strings.CutPrefix(rest, "index/")
	if !ok {
		return nil
	}
	var lines bytes.Buffer
	for _, p := range w.of("crates.io") {
		if place == cratePlace(strings.ToLower(p.Name)) {
			line, err := json.Marshal(map[string]any{
				"name": p.Name, "vers": p.Version, "deps": []any{}, "cksum": fmt.Sprintf("%x", sha256.Sum256(crate(p))), "features": map[string]any{}, "yanked": p.Yanked != "", "v": 2,
			})
			if err != nil {
				panic(err) // made of strings
			}
			lines.Write(append(line, '\n'))
		}
	}
	if lines.Len() == 0 {
		return nil
	}
	return &answer{body: lines.Bytes(), headers: map[string]string{"ETag": fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256(lines.Bytes())))}}
}

// cratePlace is where the index has a crate: 1/a, 2/ab, 3/a/abc, ab/cd/abcd.
func cratePlace(name string) string {
	switch n := len(name); {
	case n < 3:
		return fmt.Sprintf("%d/%s", n, name)
	case n == 3:
		return "3/" + name[:1] + "/" + name
	}
	return name[:2] + "/" + name[2:4] + "/" + name
}

func crate(p Package) []byte { return tarball(p, p.Name+"-"+p.Version) }

// dump makes a dump of a database with these packages, as crates.io publishes each day, with tables that nobody asked for between the others.
func dump(all []Package) []byte {
	tables := []struct {
		name string
		rows [][]string
	}{
		{"categories.csv", [][]string{{"category", "id"}, {"a,b\n\"c\"", "1"}}},
		{"crate_downloads.csv", [][]string{{"crate_id", "downloads"}}},
		{"crates.csv", [][]string{{"created_at", "description", "id", "name", "readme"}}},
		{"version_downloads.csv", [][]string{{"date", "downloads", "version_id"}, {"2024-01-01", "7", "1"}}},
		{"versions.csv", [][]string{{"checksum", "crate_id", "created_at", "id", "num", "yanked"}}},
	}
	ids := map[string]string{}
	for i, p := range all {
		id, ok := ids[p.Name]
		if !ok {
			id = fmt.Sprint(len(ids) + 100)
			ids[p.Name] = id
			tables[1].rows = append(tables[1].rows, []string{id, fmt.Sprint(p.Downloads)})
			tables[2].rows = append(tables[2].rows, []string{"2024-01-02 03:04:05", "made, up\nin lines", id, p.Name, "# \"" + p.Name + "\""})
		}
		yanked := "f"
		if p.Yanked != "" {
			yanked = "t"
		}
		tables[4].rows = append(tables[4].rows, []string{fmt.Sprintf("%x", sha256.Sum256(crate(p))), id, "2024-01-02 03:04:05", fmt.Sprint(i + 1), p.Version, yanked})
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	for _, table := range tables {
		var text bytes.Buffer
		c := csv.NewWriter(&text)
		_ = c.WriteAll(table.rows) // into memory
		_ = t.WriteHeader(&tar.Header{Name: "2024-01-02-020014/data/" + table.name, Mode: 0o644, Size: int64(text.Len()), Typeflag: tar.TypeReg})
		_, _ = t.Write(text.Bytes())
	}
	_ = t.Close()
	_ = z.Close()
	return b.Bytes()
}
