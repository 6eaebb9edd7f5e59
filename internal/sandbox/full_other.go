//go:build !linux

package sandbox

import (
	"context"
	"errors"

	"cbuild/engine"
	"cbuild/internal/checkout"
)

// Class full needs the namespaces of Linux.
type (
	boxes struct {
		overlays bool
		flat     error
	}
	box  struct{}
	view struct{}
)

var errNoNamespaces = errors.New("this system has no namespaces")

// Helper does nothing: there are no helpers here.
func Helper() {}

func newBoxes(context.Context, string, *checkout.Shared, []string) (*boxes, error) {
	return nil, errNoNamespaces
}

func (*boxes) take(context.Context, *engine.Command) (*box, error) { return nil, errNoNamespaces }
func (*boxes) give(*box)                                           {}
func (*boxes) close()                                              {}

func (*run) memoryDir() string                     { return "" }
func (*run) enter(context.Context, *placing) error { return errNoNamespaces }
func (*run) lay(context.Context, *placing) error   { return nil }
func (*run) leave()                                {}
func (*run) user() int                             { return checkout.Ours }
func (*run) give(string) error                     { return nil }

func (*run) executeBoxed(context.Context, context.Context, *streams) (*engine.Result, error) {
	return nil, errNoNamespaces
}
