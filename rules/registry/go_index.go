package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"cbuild/engine"
	"cbuild/rules/download"
)

const (
	// goIndex is the public index of modules: what the public proxy saw, in the order in which it saw it first.
	goIndex = "https://index.golang.org/index"
	// goIndexPage is how many lines are asked for at a time, the most that the index gives.
	goIndexPage = 2000
	// maxIndexed bounds an index without a limit. In 2026 there are some ten million lines.
	maxIndexed = 100_000_000
)

// indexed is the start over the module index. Args are index, true or the address of an index; since, a time; and limit, how many items
// there may be.
func (g *Go) indexed(args engine.Object) ([]Start, error) {
	if args["modules"] != nil || args["versions"] != nil {
		return nil, errors.New("either modules or index")
	}
	address, ok := args["index"].(string)
	if args["index"] == true {
		address, ok = goIndex, true
	}
	if !ok {
		return nil, errors.New("index: want true, or the address of an index")
	}
	address, err := base("index", address)
	if err != nil {
		return nil, err
	}
	since, err := text(args, "since")
	if err != nil {
		return nil, err
	}
	if since != "" {
		if _, err := time.Parse(time.RFC3339Nano, since); err != nil {
			return nil, fmt.Errorf(`since: %q is not a time such as "2019-04-10T19:08:52Z"`, since)
		}
	}
	limit, err := count(args, "limit")
	if err != nil {
		return nil, err
	}
	request := fmt.Sprintf("go:index since=%s limit=%d", since, limit)
	if address != goIndex {
		request += " of " + address // it stands in the user's own file
	}
	if limit == 0 {
		limit = maxIndexed
	}
	pages := func(ctx context.Context) iter.Seq2[Page, error] {
		return func(yield func(Page, error) bool) {
			g.opts.Client.Declare(address)
			if err := g.follow(ctx, address, since, int(limit), yield); err != nil {
				yield(Page{}, fmt.Errorf("the index of modules: %w", err))
			}
		}
	}
	return []Start{{Request: request, Pages: pages}}, nil
}

// follow yields the pages of the index. The next page begins with the time of the last line, which it repeats with all others of that time:
// those are left out.
func (g *Go) follow(ctx context.Context, address, since string, limit int, yield func(Page, error) bool) error {
	last := map[string]bool{} // the keys of the lines with the time since
	for n := 0; n < limit; {
		q := url.Values{"limit": {strconv.Itoa(goIndexPage)}}
		if since != "" {
			q.Set("since", since)
		}
		body, err := g.opts.Client.Bytes(ctx, download.Request{URL: address + "?" + q.Encode(), Max: maxAnswer})
		if err != nil {
			return err
		}
		lines, err := parseIndex(body)
		if err != nil {
			return err
		}
		page := Page{Request: "go:index since=" + since}
		for _, l := range lines {
			if l.Timestamp != since {
				clear(last)
				since = l.Timestamp
			}
			if last[l.key()] || n == limit {
				continue
			}
			last[l.key()] = true
			if l.valid() {
				page.Items = append(page.Items, l.item())
				n++
			}
		}
		if len(page.Items) > 0 && !yield(page, nil) || len(lines) < goIndexPage {
			return nil
		}
		if len(page.Items) == 0 {
			return fmt.Errorf("it has %d lines or more of one time, %s, and can't be read further", len(lines), since)
		}
	}
	return nil
}

// An indexLine is what the index says of a version: when the proxy saw it first.
type indexLine struct{ Path, Version, Timestamp string }

func (l indexLine) key() string { return l.Path + "@" + l.Version }

func (l indexLine) valid() bool { return module.CheckPath(l.Path) == nil && validVersion(l.Version) }

// item is the item for l. What would take more requests is null: ask for the modules that you need.
func (l indexLine) item() engine.Item {
	return engine.Item{Key: l.key(), Value: engine.Object{
		"module": l.Path, "version": l.Version, "url": goAddress(l.Path, l.Version), "h1": nil, "time": l.Timestamp, "retracted": nil,
	}}
}

// parseIndex reads lines of JSON.
func parseIndex(body []byte) (lines []indexLine, err error) {
	for line := range bytes.Lines(body) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var l indexLine
		if err := json.Unmarshal(line, &l); err != nil {
			return nil, fmt.Errorf("its answer is not what it should be: %w", err)
		}
		if _, err := time.Parse(time.RFC3339Nano, l.Timestamp); err != nil || strings.ContainsAny(l.Timestamp, "&\n") {
			return nil, fmt.Errorf("its answer has the time %q", l.Timestamp)
		}
		lines = append(lines, l)
	}
	return lines, nil
}
