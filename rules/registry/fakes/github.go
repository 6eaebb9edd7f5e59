package fakes

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// github answers GET /repos/OWNER/NAME/releases?page=N, two to a page, and /OWNER/NAME/releases/download/TAG/FILE, /archive/refs/tags/TAG.tar.gz.
// The version of a package is its tag, the name OWNER/NAME, its files are the assets.
func (w *World) github(rest string, query url.Values, base string) *answer {
	if repo, ok := strings.CutSuffix(strings.TrimPrefix(rest, "repos/"), "/releases"); ok && strings.HasPrefix(rest, "repos/") {
		return w.releases(repo, query, base)
	}
	for _, p := range w.of("github-releases") {
		file, ok := strings.CutPrefix(rest, p.Name+"/releases/download/"+p.Version+"/")
		if text, there := p.Files[file]; ok && there {
			return &answer{body: []byte(text)}
		}
		if rest == p.Name+"/archive/refs/tags/"+p.Version+".tar.gz" {
			return &answer{body: tarball(p, p.Name[strings.IndexByte(p.Name, '/')+1:]+"-"+p.Version)}
		}
	}
	return nil
}

func (w *World) releases(repo string, query url.Values, base string) *answer {
	all := w.named("github-releases", repo)
	if len(all) == 0 {
		return nil
	}
	slices.Reverse(all) // newest first
	const size = 2
	page, _ := strconv.Atoi(query.Get("page"))
	from := min(max(page-1, 0)*size, len(all))
	to := min(from+size, len(all))
	list := []any{}
	for _, p := range all[from:to] {
		assets := []any{}
		for name, text := range p.Files {
			a := map[string]any{
				"name": name, "size": len(text), "browser_download_url": base + "/" + repo + "/releases/download/" + p.Version + "/" + name,
				"digest": fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text))),
			}
			if p.Unchecked {
				a["digest"] = nil
			}
			assets = append(assets, a)
		}
		list = append(list, map[string]any{"tag_name": p.Version, "draft": p.Yanked != "", "published_at": Published.Format("2006-01-02T15:04:05Z"), "assets": assets})
	}
	a := jsonAnswer(list)
	if to < len(all) {
		a.headers = map[string]string{"Link": fmt.Sprintf(`<%s/repositories/1/releases?page=%d>; rel="next", <%s/repositories/1/releases?page=9>; rel="last"`, base, page+1, base)}
	}
	return a
}
