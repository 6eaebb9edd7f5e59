package download_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cbuild/engine"
	"cbuild/rules/download"
)

// parked returns how long err says to wait without having tried, and whether it says so.
func parked(err error) (time.Duration, bool) {
	trouble, ok := errors.AsType[*engine.TroubleError](err)
	if !ok || !trouble.Wait {
		return 0, false
	}
	return trouble.After, trouble.Retry
}

// A fake is a host in virtual time.
type fake struct {
	mu    sync.Mutex
	asked []time.Duration // guarded by mu; since the beginning
	began time.Time
	code  func(n int) int // of the n-th answer, counted from 1
	after string
	takes time.Duration
	now   int // guarded by mu
	most  int // guarded by mu
}

func (f *fake) client(o download.Options) *download.Client {
	f.began = time.Now()
	o.Transport = roundTrip(func(r *http.Request) *http.Response {
		f.mu.Lock()
		f.asked = append(f.asked, time.Since(f.began))
		n := len(f.asked)
		f.now++
		f.most = max(f.most, f.now)
		f.mu.Unlock()
		time.Sleep(f.takes)
		f.mu.Lock()
		f.now--
		f.mu.Unlock()
		header := http.Header{}
		if f.after != "" {
			header.Set("Retry-After", f.after)
		}
		return answer(r, f.code(n), header)
	})
	return download.New(o)
}

func always(code int) func(int) int { return func(int) int { return code } }

func TestTheCircuitOpensAfterTwentyFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		f := &fake{code: func(n int) int {
			if n <= 21 {
				return 500
			}
			return 200
		}}
		c := f.client(download.Options{Tell: func(s download.HostState) { told = append(told, s.String()) }})
		for i := range 20 {
			if _, err := get(t.Context(), c, fmt.Sprintf("https://a.example/%d", i)); kind(err) != "retry" {
				t.Fatalf("failure %d: %v", i, err)
			}
		}
		// Now nothing is asked for half a minute; other hosts are.
		for i := range 100 {
			_, err := get(t.Context(), c, fmt.Sprintf("https://a.example/%d", i))
			if after, ok := parked(err); !ok || after != 30*time.Second {
				t.Fatalf("with the circuit open: %v", err)
			}
		}
		if len(f.asked) != 20 {
			t.Errorf("%d requests, want 20", len(f.asked))
		}
		if s := c.Host("a.example"); s.Waiting != 100 || s.Probe != 30*time.Second || s.Why != "500 Internal Server Error" || s.Failures != 20 {
			t.Errorf("state %+v", s)
		}
		// One of all finds out, and fails; then another, and all go on.
		time.Sleep(30 * time.Second)
		if _, err := get(t.Context(), c, "https://a.example/7"); kind(err) != "retry" {
			t.Errorf("the probe: %v", err)
		}
		if after, ok := parked(second(get(t.Context(), c, "https://a.example/8"))); !ok || after != 30*time.Second {
			t.Errorf("after a probe that failed: %v", after)
		}
		time.Sleep(30 * time.Second)
		for i := range 100 {
			if _, err := get(t.Context(), c, fmt.Sprintf("https://a.example/%d", i)); err != nil {
				t.Errorf("after the host is back: %v", err)
			}
		}
		if len(f.asked) != 121 {
			t.Errorf("%d requests, want 20, a probe, and 100", len(f.asked))
		}
		if want := "host a.example: 500 Internal Server Error; asked again in 00:30, 0 downloads waiting"; len(told) == 0 || told[0] != want {
			t.Errorf("told %q", told)
		}
	})
}

func second[A any](_ A, err error) error { return err }

func TestOneProbeAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{code: always(502), takes: time.Second}
		c := f.client(download.Options{})
		for i := range 20 {
			_, _ = get(t.Context(), c, fmt.Sprintf("https://a.example/%d", i))
		}
		time.Sleep(30 * time.Second)
		var group sync.WaitGroup
		for i := range 50 {
			group.Go(func() { _, _ = get(t.Context(), c, fmt.Sprintf("https://a.example/%d", i)) })
		}
		group.Wait()
		if len(f.asked) != 21 {
			t.Errorf("%d requests, want 20 and one probe", len(f.asked))
		}
	})
}

func TestASuccessBetweenKeepsTheCircuitClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{code: func(n int) int {
			if n%20 == 0 {
				return 404 // an answer, too
			}
			return 500
		}}
		c := f.client(download.Options{})
		for i := range 200 {
			if _, err := get(t.Context(), c, fmt.Sprintf("https://a.example/%d", i)); kind(err) != "retry" && kind(err) != "unavailable" {
				t.Fatal(err)
			}
		}
		if len(f.asked) != 200 {
			t.Errorf("%d requests, want 200", len(f.asked))
		}
	})
}

// A host that stays away is given up for this build: what waits for it ends.
func TestAHostIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{code: always(503)}
		c := f.client(download.Options{})
		for i := 0; ; i++ {
			_, err := get(t.Context(), c, fmt.Sprintf("https://a.example/%d", i))
			lost, ok := errors.AsType[*download.HostError](err)
			if ok && kind(err) == "final" {
				if lost.Host != "a.example" || err.Error() != "cannot reach a.example (503 Service Unavailable)" {
					t.Errorf("%v", err)
				}
				break
			}
			after, _ := parked(err)
			time.Sleep(after)
			if i > 1000 {
				t.Fatal("it is never given up")
			}
		}
		if since := time.Since(f.began); since < time.Minute || since > 3*time.Minute {
			t.Errorf("given up after %v", since)
		}
		if _, err := get(t.Context(), c, "https://b.example/"); kind(err) != "retry" {
			t.Errorf("another host: %v", err)
		}
		if s := c.Hosts(); len(s) != 1 || !s[0].Down || !strings.HasPrefix(s[0].String(), "host a.example: given up (503 Service Unavailable)") {
			t.Errorf("%+v", s)
		}
	})
}

// Retries have a budget: after five failures without a success, they are delayed. First requests are not, and no retry is refused.
func TestRetriesHaveABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{code: func(n int) int {
			if n <= 7 {
				return 500
			}
			return 200
		}}
		c := f.client(download.Options{})
		for i := range 7 {
			_, _ = get(t.Context(), c, fmt.Sprintf("https://a.example/%d", i))
		}
		_, err := c.Bytes(t.Context(), download.Request{URL: "https://a.example/3", Park: true})
		if after, ok := parked(err); !ok || after != 2*time.Second {
			t.Errorf("a retry with 3 of 10 left: %v after %v", err, after)
		}
		if _, err := get(t.Context(), c, "https://a.example/new"); err != nil || time.Since(f.began) != 0 {
			t.Errorf("a first request: %v after %v", err, time.Since(f.began))
		}
		// What may not be parked waits here.
		if _, err := get(t.Context(), c, "https://a.example/4"); err != nil || time.Since(f.began).Round(time.Second) != 2*time.Second {
			t.Errorf("a retry that waits: %v after %v", err, time.Since(f.began))
		}
	})
}

// 429 and 503 halve what is under way, once for all that were under way together; successes let it grow again.
func TestABusyHostIsAskedLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		busy := true
		f := &fake{takes: time.Second, code: func(int) int {
			mu.Lock()
			defer mu.Unlock()
			if busy {
				return 429
			}
			return 200
		}}
		c := f.client(download.Options{PerHost: 16})
		round := func(name string) int {
			f.mu.Lock()
			f.most = 0
			f.mu.Unlock()
			var group sync.WaitGroup
			for i := range 16 {
				group.Go(func() { _, _ = get(t.Context(), c, fmt.Sprintf("https://a.example/%s%d", name, i)) })
			}
			group.Wait()
			return f.most
		}
		rounds := []int{round("a")}
		mu.Lock()
		busy = false
		mu.Unlock()
		for i := range 12 {
			rounds = append(rounds, round(fmt.Sprint("b", i)))
		}
		if rounds[0] != 16 || rounds[1] < 8 || rounds[1] > 10 || !slices.IsSorted(rounds[1:]) || rounds[12] != 16 {
			t.Errorf("at a time: %v", rounds)
		}
	})
}

// While a host is slowed down, what finds its queue full is parked, rather than hold a connection that others could use.
func TestAFullQueueParks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: time.Second, code: func(n int) int {
			if n == 1 {
				return 503
			}
			return 200
		}}
		c := f.client(download.Options{PerHost: 2})
		_, _ = get(t.Context(), c, "https://a.example/first")
		var group sync.WaitGroup
		var mu sync.Mutex
		waits, done := 0, 0
		for i := range 10 {
			group.Go(func() {
				_, err := c.Bytes(t.Context(), download.Request{URL: fmt.Sprintf("https://a.example/%d", i), Park: true})
				after, ok := parked(err)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case ok && after > 0:
					waits++
				case err == nil:
					done++
				default:
					t.Error(err)
				}
			})
		}
		group.Wait()
		if done != 2 || waits != 8 {
			t.Errorf("%d done, %d parked; want one under way, one behind it, and the others parked", done, waits)
		}
	})
}

func TestARateIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{code: always(200)}
		c := f.client(download.Options{})
		c.Limit("a.example", 1, 2)
		// Those that may be parked come back each at its own time, in which nobody else takes their place.
		for i := range 10 {
			address := fmt.Sprintf("https://a.example/%d", i)
			_, err := c.Bytes(t.Context(), download.Request{URL: address, Park: true})
			if after, ok := parked(err); ok {
				if want := time.Duration(i-1) * time.Second; after != want {
					t.Errorf("request %d is to come after %v, want %v", i, after, want)
				}
				time.AfterFunc(after, func() {
					if _, err := c.Bytes(context.Background(), download.Request{URL: address, Park: true}); err != nil {
						t.Errorf("%s at its time: %v", address, err)
					}
				})
			}
		}
		time.Sleep(20 * time.Second)
		f.mu.Lock()
		asked := slices.Clone(f.asked)
		f.mu.Unlock()
		want := []time.Duration{0, 0, 1 * time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second, 5 * time.Second, 6 * time.Second, 7 * time.Second, 8 * time.Second}
		if !slices.Equal(asked, want) {
			t.Errorf("asked at %v", asked)
		}
		// Those that may not wait here.
		began := time.Now()
		for i := range 4 {
			if _, err := get(t.Context(), c, fmt.Sprintf("https://a.example/x%d", i)); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("four requests took %v", took)
		}
	})
}

// A host that rests is not asked by way of another either, and it is the host that answered which rests.
func TestRedirectsToAHostThatRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := map[string]int{}
		c := download.New(download.Options{Transport: roundTrip(func(r *http.Request) *http.Response {
			asked[r.URL.Host]++
			if r.URL.Host == "front.example" {
				return answer(r, 302, http.Header{"Location": {"https://back.example" + r.URL.Path}})
			}
			return answer(r, 503, http.Header{"Retry-After": {"60"}})
		})})
		_, err := get(t.Context(), c, "https://front.example/1")
		if trouble, ok := errors.AsType[*engine.TroubleError](err); !ok || trouble.Wait || trouble.After != time.Minute {
			t.Errorf("%v", err)
		}
		if after, ok := parked(second(get(t.Context(), c, "https://front.example/2"))); !ok || after != time.Minute {
			t.Errorf("the second is told to wait %v", after)
		}
		if asked["back.example"] != 1 || c.Host("front.example").Failures != 0 || c.Host("back.example").Failures != 1 {
			t.Errorf("asked %v, front %+v, back %+v", asked, c.Host("front.example"), c.Host("back.example"))
		}
	})
}

// Who leaves the queue in the moment in which it is its turn passes that on: else those behind it would wait for ever.
func TestLeavingTheQueue(t *testing.T) {
	for range 30 { // which of the two comes first is chance
		synctest.Test(t, func(t *testing.T) {
			f := &fake{code: always(200), takes: 10 * time.Second}
			c := f.client(download.Options{PerHost: 1})
			var group sync.WaitGroup
			for i, patience := range []time.Duration{time.Hour, 10 * time.Second, time.Hour} {
				group.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					if _, err := get(ctx, c, fmt.Sprintf("https://a.example/%d", i)); err != nil && patience == time.Hour {
						t.Error(err)
					}
				})
				synctest.Wait()
			}
			group.Wait()
			if f.most != 1 {
				t.Errorf("%d at a time, want 1", f.most)
			}
		})
	}
}
