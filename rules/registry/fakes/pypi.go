package fakes

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"
)

// pypi answers GET /simple/NAME/ as PEP 691 has it, and /packages/FILE.
func (w *World) pypi(rest string) *answer {
	if file, ok := strings.CutPrefix(rest, "packages/"); ok {
		for _, p := range w.of("pypi") {
			for name, body := range distributions(p) {
				if name == file {
					return &answer{body: body}
				}
			}
		}
		return nil
	}
	name, ok := strings.CutPrefix(strings.TrimSuffix(rest, "/"), "simple/")
	if !ok {
		return nil
	}
	files, versions := []any{}, []string{}
	for _, p := range w.of("pypi") {
		if normal(p.Name) != name {
			continue
		}
		versions = append(versions, p.Version)
		for file, body := range distributions(p) {
			f := map[string]any{
				"filename": file, "url": "../../packages/" + file + "#sha256=x", "hashes": map[string]string{}, "requires-python": ">=3.8",
				"size": len(body), "upload-time": Published.Format("2006-01-02T15:04:05.000000Z"), "yanked": false,
			}
			if !p.Unchecked {
				f["hashes"] = map[string]string{"sha256": fmt.Sprintf("%x", sha256.Sum256(body))}
			}
			if p.Yanked != "" {
				f["yanked"] = p.Yanked
			}
			files = append(files, f)
		}
	}
	if len(versions) == 0 {
		return nil
	}
	a := jsonAnswer(map[string]any{"meta": map[string]any{"api-version": "1.1", "_last-serial": 1}, "name": name, "files": files, "versions": versions})
	a.kind = "application/vnd.pypi.simple.v1+json"
	return a
}

var separators = regexp.MustCompile(`[-_.]+`)

func normal(name string) string { return strings.ToLower(separators.ReplaceAllString(name, "-")) }

// distributions are the files of p by name.
func distributions(p Package) map[string][]byte {
	file := strings.ReplaceAll(normal(p.Name), "-", "_") + "-" + p.Version
	all := map[string][]byte{}
	if !p.NoSource {
		all[file+".tar.gz"] = tarball(p, file)
	}
	if p.Wheel {
		all[file+"-py3-none-any.whl"] = tarball(p, ".")
		all[file+"-cp311-cp311-manylinux_2_17_x86_64.whl"] = tarball(p, ".")
	}
	return all
}
