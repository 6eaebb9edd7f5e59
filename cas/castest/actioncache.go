package castest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"cbuild/cas"
	"cbuild/engine"
)

// ActionCache tests that the action caches that open returns keep the contract of engine.ActionCache. Each call returns an empty
// one.
func ActionCache(t *testing.T, open func(t *testing.T) engine.ActionCache) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, c engine.ActionCache)
	}{
		{"results come back as they were", testResult},
		{"a miss has a reason", testMiss},
		{"bypass finds nothing", testBypass},
		{"conditions decide", testConditions},
		{"which record stays", testReplacement},
		{"a cancelled context ends every call", testCacheCancelled},
		{"many goroutines", testManyRecords},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

func key(n int) engine.Key { return engine.Key(cas.Of([]byte(fmt.Sprint("key ", n))).Hash) }

// result tells results of one status apart by a fact: it names no blobs, so none can be lost.
func result(s engine.Status, name string) *engine.Result {
	return &engine.Result{Status: s, Facts: map[string]string{"name": name}}
}

func mustRecord(t *testing.T, c engine.ActionCache, r engine.Record) {
	t.Helper()
	if err := c.Record(t.Context(), r); err != nil {
		t.Fatalf("record: %v", err)
	}
}

func lookup(t *testing.T, c engine.ActionCache, k engine.Key, want engine.Conditions) *engine.Result {
	t.Helper()
	r, reason, err := c.Lookup(t.Context(), k, want, engine.LookupNormal)
	if err != nil {
		t.Fatalf("lookup: %v", err)
	}
	if (r == nil) != (reason != "") {
		t.Errorf("lookup: result %v and reason %q", r, reason)
	}
	return r
}

func testResult(t *testing.T, c engine.ActionCache) {
	full := &engine.Result{
		Status: engine.Crash, ExitCode: 139,
		Outs:   []engine.Output{{Path: "a/b", Artifact: engine.Artifact{Kind: engine.TreeKind, Digest: cas.Of([]byte("t")), Executable: true, Name: "n"}}},
		Stdout: cas.Of([]byte("out")), Log: cas.Of([]byte("log")),
		Facts: map[string]string{"sha256": "x"}, Took: time.Minute, Used: engine.Usage{User: 1, System: 2, Memory: 3},
	}
	for i, r := range []*engine.Result{{}, full} {
		mustRecord(t, c, engine.Record{Key: key(i), Result: r, Preimage: []byte("rule: \"run 1\"\n")})
	}
	got := lookup(t, c, key(1), engine.Conditions{})
	if got == nil || got.Status != full.Status || got.ExitCode != full.ExitCode || len(got.Outs) != 1 || got.Outs[0] != full.Outs[0] ||
		got.Stdout != full.Stdout || got.Log != full.Log || got.Took != full.Took || got.Used != full.Used || !maps.Equal(got.Facts, full.Facts) {
		t.Errorf("got %+v\nwant %+v", got, full)
	}
	if r := lookup(t, c, key(0), engine.Conditions{}); r == nil || r.Status != engine.Pass {
		t.Errorf("the empty result: %+v", r)
	}
}

func testMiss(t *testing.T, c engine.ActionCache) {
	if r := lookup(t, c, key(1), engine.Conditions{}); r != nil {
		t.Errorf("found %+v", r)
	}
	if err := c.Record(t.Context(), engine.Record{Result: &engine.Result{}}); err == nil {
		t.Error("the zero key was recorded")
	}
}

func testBypass(t *testing.T, c engine.ActionCache) {
	mustRecord(t, c, engine.Record{Key: key(1), Result: result(engine.Pass, "")})
	r, reason, err := c.Lookup(t.Context(), key(1), engine.Conditions{}, engine.LookupBypass)
	if r != nil || reason == "" || err != nil {
		t.Errorf("%+v, %q, %v", r, reason, err)
	}
}

func testConditions(t *testing.T, c engine.ActionCache) {
	had := engine.Conditions{Sandbox: engine.SandboxNone, Timeout: time.Minute, Memory: 100, Machine: "m"}
	statuses := []engine.Status{engine.Pass, engine.Fail, engine.Crash, engine.Timeout, engine.OOM}
	wants := []engine.Conditions{
		had,
		{Timeout: time.Minute, Memory: 100, Machine: "other"},
		{Timeout: time.Hour, Memory: 100, Machine: "m"},
		{Timeout: time.Second, Memory: 50, Machine: "m"},
		{Timeout: time.Minute, Memory: 200, Machine: "m"},
		{Machine: "m"},
		{Sandbox: engine.SandboxFull, Timeout: time.Minute, Memory: 100, Machine: "m"},
	}
	soft := engine.Conditions{Memory: 100, Disk: 10, Machine: "m", Soft: true}
	wants = append(wants, engine.Conditions{Memory: 100, Disk: 10, Machine: "m"}, engine.Conditions{Memory: 100, Disk: 11, Machine: "m"}, engine.Conditions{Disk: 10, Machine: "m"})
	for h, had := range []engine.Conditions{had, soft} {
		for i, s := range statuses {
			k := key(h*len(statuses) + i)
			mustRecord(t, c, engine.Record{Key: k, Conditions: had, Result: result(s, "")})
			for _, want := range wants {
				should, _ := had.Serve(s, want)
				if got := lookup(t, c, k, want); (got != nil) != should {
					t.Errorf("%v under %+v asked for with %+v: found %v, want %v", s, had, want, got != nil, should)
				}
			}
		}
	}
}

func testReplacement(t *testing.T, c engine.ActionCache) {
	limit := func(d time.Duration) engine.Conditions { return engine.Conditions{Timeout: d, Machine: "m"} }
	full := engine.Conditions{Sandbox: engine.SandboxFull}
	for i, c2 := range []struct {
		name          string
		first, second engine.Status
		was, is       engine.Conditions
		replaced      bool
	}{
		{"a pass stays", engine.Pass, engine.Pass, limit(0), limit(0), false},
		{"a failure does not replace a pass", engine.Pass, engine.Fail, limit(0), limit(0), false},
		{"a timeout does not replace a pass", engine.Pass, engine.Timeout, limit(0), limit(time.Hour), false},
		{"a pass of a higher class serves more", engine.Pass, engine.Pass, engine.Conditions{}, full, true},
		{"a pass of a lower class serves less", engine.Pass, engine.Pass, full, engine.Conditions{}, false},
		{"a pass replaces a failure", engine.Fail, engine.Pass, limit(0), limit(0), true},
		{"a newer failure replaces a failure", engine.Fail, engine.Crash, limit(0), limit(0), true},
		{"a failure of a lower class does not", engine.Fail, engine.Fail, full, engine.Conditions{}, false},
		{"a timeout does not replace a failure", engine.Fail, engine.Timeout, limit(0), limit(time.Hour), false},
		{"a pass replaces a timeout", engine.Timeout, engine.Pass, limit(time.Hour), limit(time.Hour), true},
		{"a failure replaces running out of memory", engine.OOM, engine.Fail, limit(0), limit(0), true},
		{"a longer timeout replaces a shorter one", engine.Timeout, engine.Timeout, limit(time.Minute), limit(time.Hour), true},
		{"a shorter timeout does not replace a longer one", engine.Timeout, engine.Timeout, limit(time.Hour), limit(time.Minute), false},
		{"a timeout elsewhere is worth nothing here", engine.Timeout, engine.Timeout, engine.Conditions{Timeout: time.Hour, Machine: "x"}, limit(time.Hour), true},
	} {
		mustRecord(t, c, engine.Record{Key: key(i), Conditions: c2.was, Result: result(c2.first, "first")})
		mustRecord(t, c, engine.Record{Key: key(i), Conditions: c2.is, Result: result(c2.second, "second")})
		want, conditions := "first", c2.was
		if c2.replaced {
			want, conditions = "second", c2.is
		}
		if r := lookup(t, c, key(i), conditions); r == nil || r.Facts["name"] != want {
			t.Errorf("%s: got %+v", c2.name, r)
		}
	}
}

func testCacheCancelled(t *testing.T, c engine.ActionCache) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.Lookup(ctx, key(1), engine.Conditions{}, engine.LookupNormal); !errors.Is(err, context.Canceled) {
		t.Errorf("lookup: %v", err)
	}
	if err := c.Record(ctx, engine.Record{Key: key(1), Result: &engine.Result{}}); !errors.Is(err, context.Canceled) {
		t.Errorf("record: %v", err)
	}
}

func testManyRecords(t *testing.T, c engine.ActionCache) {
	g, ctx := errgroup.WithContext(t.Context())
	for i := range 8 {
		g.Go(func() error {
			for j := range 100 {
				k := key(j % 20)
				if err := c.Record(ctx, engine.Record{Key: k, Result: result(engine.Pass, fmt.Sprint(i))}); err != nil {
					return err
				}
				if r, reason, err := c.Lookup(ctx, k, engine.Conditions{}, engine.LookupNormal); err != nil || r == nil {
					return fmt.Errorf("lookup of what was just recorded: %q, %w", reason, err)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for j := range 20 {
		first := lookup(t, c, key(j), engine.Conditions{})
		mustRecord(t, c, engine.Record{Key: key(j), Result: result(engine.Pass, "late")})
		if again := lookup(t, c, key(j), engine.Conditions{}); again.Facts["name"] != first.Facts["name"] {
			t.Errorf("another result was chosen: %v, then %v", first.Facts, again.Facts)
		}
	}
}
