package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestFlightsUnderLoad has 20,000 callers join and leave a few flights at random. Nobody who stays gets the end of somebody else's
// context, work of which all have left is cancelled, nothing is done twice at once, and no work is left when the last caller has
// returned.
func TestFlightsUnderLoad(t *testing.T) {
	defer goleak.VerifyNone(t)
	var f flights
	var working, worked, cancelled, failed atomic.Int64
	const keys = 5
	var mu sync.Mutex
	var busy [keys]map[context.Context]bool // guarded by mu
	work := func(key int) func(context.Context) (any, error) {
		return func(ctx context.Context) (any, error) {
			working.Add(1)
			defer working.Add(-1)
			mu.Lock()
			for other := range busy[key] {
				if other.Err() == nil && ctx.Err() == nil {
					t.Error("two works for one key at once, neither abandoned")
				}
			}
			if busy[key] == nil {
				busy[key] = make(map[context.Context]bool)
			}
			busy[key][ctx] = true
			mu.Unlock()
			defer func() {
				mu.Lock()
				delete(busy[key], ctx)
				mu.Unlock()
			}()
			switch rand.IntN(8) {
			case 0:
				return nil, errors.New("failed")
			case 1:
				panic("bug")
			}
			select {
			case <-time.After(time.Duration(rand.IntN(300)) * time.Microsecond):
				worked.Add(1)
				return key, nil
			case <-ctx.Done():
				cancelled.Add(1)
				return nil, ctx.Err()
			}
		}
	}
	var callers sync.WaitGroup
	slots := make(chan struct{}, 200)
	for range 20_000 {
		slots <- struct{}{}
		callers.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if rand.IntN(2) == 0 {
				timer := time.AfterFunc(time.Duration(rand.IntN(200))*time.Microsecond, cancel)
				defer timer.Stop()
			}
			key := rand.IntN(keys)
			v, err := f.do(ctx, fmt.Sprint(key), work(key))
			switch {
			case err == nil && v != key:
				t.Errorf("got %v for %d", v, key)
			case errors.Is(err, context.Canceled) && ctx.Err() == nil:
				failed.Add(1)
			}
		})
	}
	callers.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d callers got the end of another one's context", n)
	}
	if n := working.Load(); n > 0 {
		t.Errorf("%d works outlived their callers", n)
	}
	if worked.Load() == 0 || cancelled.Load() == 0 {
		t.Errorf("nothing was tried: %d worked, %d cancelled", worked.Load(), cancelled.Load())
	}
	if len(f.current) > 0 {
		t.Errorf("%d flights are kept", len(f.current))
	}
}
