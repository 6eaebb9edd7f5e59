package engine

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"golang.org/x/sync/singleflight"
)

// flights do work for a key once for all who want it at the same time. Plain singleflight would give everybody the first caller's
// context: its cancellation would fail the others. Here a flight's context ends only when its last waiter has left, and a panic
// becomes an error.
type flights struct {
	mu      sync.Mutex
	group   singleflight.Group
	current map[string]*flight // guarded by mu
}

type flight struct {
	ctx     context.Context
	cancel  context.CancelFunc
	waiters int // guarded by flights.mu
}

// A PanicError is a panic in an action or an expression: a bug in cbuild.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("internal error: %v\n%s", e.Value, e.Stack) }

// recovered turns a panic of the calling function into an error.
func recovered(err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{Value: v, Stack: debug.Stack()}
	}
}

// do returns what work returns for key. Callers that come while it runs share its answer. If ctx ends first, do returns its error;
// work goes on for those who still wait, and is cancelled when nobody does.
func (f *flights) do(ctx context.Context, key string, work func(context.Context) (any, error)) (any, error) {
	f.mu.Lock()
	if f.current == nil {
		f.current = make(map[string]*flight)
	}
	fl := f.current[key]
	if fl == nil {
		fl = &flight{}
		fl.ctx, fl.cancel = context.WithCancel(context.WithoutCancel(ctx))
		f.current[key] = fl
	}
	fl.waiters++
	done := f.group.DoChan(key, func() (v any, err error) {
		defer f.landed(key, fl)
		defer recovered(&err)
		return work(fl.ctx)
	})
	f.mu.Unlock()

	select {
	case r := <-done:
		f.leave(key, fl)
		return r.Val, r.Err
	case <-ctx.Done():
	}
	if f.leave(key, fl) {
		<-done // cancelled and abandoned: it must not outlive its owner
	}
	return nil, ctx.Err()
}

// landed ends fl: who comes from now on starts another flight. So a flight has one work, which its last waiter waits for.
func (f *flights) landed(key string, fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget(key, fl)
}

// forget makes room for another flight for key. f.mu is held.
func (f *flights) forget(key string, fl *flight) {
	if f.current[key] == fl {
		delete(f.current, key)
		f.group.Forget(key)
	}
}

// leave takes a waiter off fl and reports whether it was the last. Cancelling and forgetting happen under the lock under which
// others join, so nobody joins a dying flight.
func (f *flights) leave(key string, fl *flight) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl.waiters--
	if fl.waiters > 0 {
		return false
	}
	fl.cancel()
	f.forget(key, fl)
	return true
}
