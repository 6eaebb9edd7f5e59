// Package registry asks package registries what exists and gets what they hold. There is one file for each registry. A Registry
// breaks a query into independent starts; each start yields pages of items. Items carry registry-relative addresses, such as
// "go:github.com/google/uuid@v1.6.0.zip", so that no mirror's host enters a key, a lock or a report.
package registry

import (
	"context"
	"iter"

	"cbuild/engine"
)

// A Registry is one kind of package registry. All methods may be called concurrently.
type Registry interface {
	// Fields are the names of an item's fields, sorted; those that a package lacks are null.
	Fields() []string
	// Starts checks args and returns the independent parts of the query that they describe, in their order.
	Starts(args engine.Object) ([]Start, error)
}

// A Start is a part of a query that can be asked on its own.
type Start struct {
	// Request identifies what is asked, host-free; answers are pinned under it.
	Request string
	// Pages asks, and yields the answers in order.
	Pages func(ctx context.Context) iter.Seq2[Page, error]
}

// A Page is one answer.
type Page struct {
	// Request identifies the page, host-free.
	Request string
	Items   []engine.Item
	// Note, if set, says what people should know about the answer.
	Note string
}
