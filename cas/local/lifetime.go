package local

import (
	"context"
	"sync"
	"time"
)

// A lifetime is a context that ends when its store is closed. What goes on beside the calls belongs to none of them.
type lifetime struct {
	over chan struct{}
	end  func() // any number of times
}

func newLifetime() lifetime {
	over := make(chan struct{})
	return lifetime{over, sync.OnceFunc(func() { close(over) })}
}

// Deadline is context.Context's.
func (lifetime) Deadline() (deadline time.Time, ok bool) { return deadline, false }

// Done is context.Context's.
func (l lifetime) Done() <-chan struct{} { return l.over }

// Err is context.Context's.
func (l lifetime) Err() error {
	select {
	case <-l.over:
		return context.Canceled
	default:
		return nil
	}
}

// Value is context.Context's.
func (lifetime) Value(any) any { return nil }
