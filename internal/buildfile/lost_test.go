package buildfile

import (
	"testing"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/engine"
	"cbuild/rules"
)

// TestLostArtifactIsMadeAgain reads an artifact whose blob the store lost: neither try() nor a condition takes that for an answer, and
// what made it is done again.
func TestLostArtifactIsMadeAgain(t *testing.T) {
	const text = `
run "make" {
  command = ["make"]
  out     = "o"
}
write "read" {
  content = try(file(run.make.out), "lost")
}
run "around" {
  command = ["ls", try(dirname(run.make.out), "lost")]
  out     = "o"
}
`
	for _, name := range []string{"read", "around"} {
		w, diags := Load(realOptions(write(t, map[string]string{FileName: text})))
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		store := castest.NewMemory()
		host := &fakeHost{store: store}
		w.Bind(&rules.Runtime{Store: store, Executor: host, Sources: host, System: host})
		cache := castest.NewMemoryActionCache()
		build := func(name string) *engine.Outcome {
			b := engine.New(engine.Options{Targets: w.Targets, Cache: cache, Window: 4})
			if err := b.Run(t.Context(), []engine.Want{{Label: engine.Label{Name: name}}}); err != nil {
				t.Fatal(err)
			}
			for r, err := range b.Whole(t.Context(), engine.Label{Name: name}) {
				if err != nil {
					t.Fatal(err)
				}
				return r.Cells[0]
			}
			return nil
		}
		made := build("make").Result.Outs[0].Digest
		first := build(name)
		store.Delete(made)
		second := build(name)
		if second.Err != nil || second.Key != first.Key {
			t.Errorf("%s: with a lost blob: %v, key %v, before %v", name, second.Err, second.Key, first.Key)
		}
		if missing, err := store.Missing(t.Context(), []cas.Digest{made}); err != nil || len(missing) > 0 {
			t.Errorf("%s: what was lost was not made again: %v %v", name, missing, err)
		}
	}
}
