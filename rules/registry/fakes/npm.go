package fakes

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
)

// npm answers GET /NAME, /NAME/VERSION or TAG, and /NAME/-/FILE.tgz; the slash of a scope may be escaped.
func (w *World) npm(rest, base string) *answer {
	rest, _ = url.PathUnescape(rest)
	name, rest, _ := strings.Cut(rest, "/")
	if strings.HasPrefix(name, "@") {
		var last string
		last, rest, _ = strings.Cut(rest, "/")
		name += "/" + last
	}
	all := w.named("npm", name)
	if len(all) == 0 {
		return nil
	}
	last := name[strings.LastIndexByte(name, '/')+1:]
	if file, ok := strings.CutPrefix(rest, "-/"); ok {
		for _, p := range all {
			if file == last+"-"+p.Version+".tgz" {
				return &answer{body: tarball(p, "package"), kind: "application/octet-stream"}
			}
		}
		return nil
	}
	tags := map[string]string{"latest": all[len(all)-1].Version}
	versions, times := map[string]any{}, map[string]string{}
	for _, p := range all {
		if p.Tag != "" {
			tags[p.Tag] = p.Version
		}
		versions[p.Version] = npmDocument(p, base+"/"+name+"/-/"+last+"-"+p.Version+".tgz")
		times[p.Version] = Published.Format("2006-01-02T15:04:05.000Z")
	}
	if rest == "" {
		return jsonAnswer(map[string]any{"_id": name, "name": name, "dist-tags": tags, "versions": versions, "time": times})
	}
	if v, ok := tags[rest]; ok {
		rest = v
	}
	if doc, ok := versions[rest]; ok {
		return jsonAnswer(doc)
	}
	return nil
}

func npmDocument(p Package, tarballURL string) map[string]any {
	dist := map[string]any{"tarball": tarballURL, "shasum": "0000000000000000000000000000000000000000"}
	if !p.Unchecked {
		sum := sha512.Sum512(tarball(p, "package"))
		dist["integrity"] = "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
	}
	doc := map[string]any{"name": p.Name, "version": p.Version, "dist": dist}
	if p.Yanked != "" {
		doc["deprecated"] = p.Yanked
	}
	return doc
}

func jsonAnswer(v any) *answer {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // made of strings
	}
	return &answer{body: body, kind: "application/json"}
}
