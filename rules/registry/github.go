package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"cbuild/engine"
	"cbuild/internal/clock"
	"cbuild/internal/retry"
	"cbuild/rules/download"
)

// GitHub is the registry of the releases of repositories on GitHub, or on a server of the same kind. A page is a page of releases.
type GitHub struct {
	opts Options

	once        sync.Once
	api, server string // addresses
	err         error
}

// NewGitHub returns the registry of releases. It asks nothing yet.
func NewGitHub(o Options) *GitHub { return &GitHub{opts: o} }

var githubFields = []string{"assets", "tag", "time", "url"}

// Fields implements Registry.
func (g *GitHub) Fields() []string { return githubFields }

var githubRepo = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$`)

// Starts implements Registry. Args are repo, "OWNER/NAME" or a list of them; with a list, the repository stands before the tag in the key
// of an item.
func (g *GitHub) Starts(args engine.Object) ([]Start, error) {
	if err := knownArgs("github-releases", args, "repo"); err != nil {
		return nil, err
	}
	repos, err := required(args, "repo")
	if err != nil {
		return nil, err
	}
	_, single := args["repo"].(string)
	starts := make([]Start, len(repos))
	for i, repo := range repos {
		if _, name, _ := strings.Cut(repo, "/"); !githubRepo.MatchString(repo) || name == "." || name == ".." {
			return nil, fmt.Errorf("repo: %q is not OWNER/NAME", repo)
		}
		prefix := repo + "@"
		if single {
			prefix = ""
		}
		request := "github-releases:" + repo
		starts[i] = Start{Request: request, Pages: func(ctx context.Context) iter.Seq2[Page, error] { return g.pages(ctx, repo, prefix) }}
		if !single {
			starts[i].Request += " with its name"
		}
	}
	return distinct(starts), nil
}

// configure finds the addresses: GITHUB_API_URL and GITHUB_SERVER_URL, as on machines of GitHub's, or those of github.com. A token is
// sent to the former only.
func (g *GitHub) configure() error {
	if g.opts.Client.Offline() {
		return &engine.TroubleError{Err: download.ErrOffline}
	}
	g.once.Do(func() {
		m := g.opts.Machine
		g.api, g.server = "https://api.github.com", "https://github.com"
		if v := m.env("GITHUB_API_URL"); v != "" {
			g.api, g.err = base("GITHUB_API_URL", v)
		}
		if v := m.env("GITHUB_SERVER_URL"); v != "" && g.err == nil {
			g.server, g.err = base("GITHUB_SERVER_URL", v)
		}
		g.opts.Client.Declare(g.api)
		g.opts.Client.Declare(g.server)
		if token := m.env("GITHUB_TOKEN", "GH_TOKEN"); token != "" {
			_, prefix, _ := strings.Cut(g.api, "://")
			g.opts.Client.Authorize(prefix, "Bearer "+token)
		}
	})
	return g.err
}

// maxReleases is the greatest size of a page, and maxReleasePages how many a repository may have.
const (
	maxReleases     = 64 << 20
	maxReleasePages = 1000
)

func (g *GitHub) pages(ctx context.Context, repo, prefix string) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		err := g.configure()
		for n := 1; err == nil && n <= maxReleasePages; n++ {
			var page Page
			var more bool
			if page, more, err = g.page(ctx, repo, prefix, n); missing(err) && n == 1 {
				page, more, err = Page{Items: []engine.Item{absent(repo, githubFields, nil)}}, false, nil
			}
			page.Request = fmt.Sprintf("github-releases:%s page %d", repo, n)
			if err == nil && (!yield(page, nil) || !more) {
				return
			}
		}
		if err != nil {
			yield(Page{}, fmt.Errorf("%s: %w", repo, err))
		}
	}
}

// page asks for the n-th page and reports whether there are more.
func (g *GitHub) page(ctx context.Context, repo, prefix string, n int) (page Page, more bool, err error) {
	var body bytes.Buffer
	var header http.Header
	code := 0
	address := fmt.Sprintf("%s/repos/%s/releases?per_page=100&page=%d", g.api, repo, n)
	_, err = g.opts.Client.Copy(ctx, &body, download.Request{
		URL: address, Max: maxReleases,
		Headers: map[string]string{"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"},
		Wants:   func(code int) bool { return code == http.StatusForbidden || code == http.StatusTooManyRequests },
		Head:    func(status int, h http.Header, _ *url.URL) { code, header = status, h },
	})
	if err != nil {
		return Page{}, false, err
	}
	if code != http.StatusOK {
		return Page{}, false, limited(address, code, header, clock.System.Now())
	}
	page.Items, err = parseReleases(body.Bytes(), repo, prefix)
	return page, strings.Contains(header.Get("Link"), `rel="next"`), err
}

// limited returns what an answer 403 or 429 means. GitHub says with both that it was asked too often, and when it may be asked again.
func limited(address string, code int, h http.Header, now time.Time) error {
	err := &download.StatusError{URL: address, Code: code, After: retry.RetryAfter(h.Get("Retry-After"), now)}
	if h.Get("X-Ratelimit-Remaining") == "0" && err.After == 0 {
		if reset, perr := strconv.ParseInt(h.Get("X-Ratelimit-Reset"), 10, 64); perr == nil {
			err.After = min(max(time.Unix(reset, 0).Sub(now), time.Second), retry.AfterCap)
		}
	}
	if code == http.StatusForbidden && err.After == 0 {
		return &engine.UnavailableError{Err: err}
	}
	return &engine.TroubleError{Err: fmt.Errorf("%w: it was asked too often; a token in GITHUB_TOKEN may ask more often", err), Retry: true, After: err.After}
}

// parseReleases reads a page of releases. Drafts, and tags that are none, are left out.
func parseReleases(body []byte, repo, prefix string) (items []engine.Item, err error) {
	var said []struct {
		Tag       string `json:"tag_name"`
		Draft     bool
		Published string `json:"published_at"`
		Assets    []struct {
			Name, Digest string
			Size         int64
		}
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return nil, fmt.Errorf("the answer is not what it should be: %w", err)
	}
	for _, r := range said {
		if r.Draft || !cleanPath("/"+r.Tag) {
			continue
		}
		assets := engine.Object{}
		for _, a := range r.Assets {
			if !cleanPath("/"+a.Name) || strings.ContainsRune(a.Name, '/') {
				continue
			}
			var sum engine.Value
			if s, ok := strings.CutPrefix(a.Digest, "sha256:"); ok && isSHA256(s) {
				sum = s
			}
			assets[a.Name] = engine.Object{"url": githubAddress(repo, "releases/download/"+r.Tag+"/"+a.Name), "size": a.Size, "sha256": sum}
		}
		if _, err := time.Parse(time.RFC3339, r.Published); err != nil {
			r.Published = ""
		}
		items = append(items, engine.Item{Key: prefix + r.Tag, Value: engine.Object{
			"tag": r.Tag, "time": orNull(r.Published), "assets": assets, "url": githubAddress(repo, "archive/refs/tags/"+r.Tag+".tar.gz"),
		}})
	}
	return items, nil
}

// githubAddress is the relative address of what a repository has at path.
func githubAddress(repo, path string) string {
	return "github-releases:" + repo + "/" + escapePath(path)
}

// Mirrors implements Resolver for the assets of releases, and for the source of tags.
func (g *GitHub) Mirrors(_ context.Context, address string) ([]Mirror, error) {
	escaped := strings.TrimPrefix(address, "github-releases:")
	path, err := url.PathUnescape(escaped)
	parts := strings.SplitN(path, "/", 3)
	if err != nil || len(parts) < 3 || !githubRepo.MatchString(parts[0]+"/"+parts[1]) || !cleanPath("/"+path) {
		return nil, &engine.InvalidError{Err: fmt.Errorf("%q: want github-releases:OWNER/NAME/PATH", address)}
	}
	if err := g.configure(); err != nil {
		return nil, err
	}
	return []Mirror{{URL: g.server + "/" + escapePath(path)}}, nil
}
