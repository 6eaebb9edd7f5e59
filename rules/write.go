package rules

import (
	"context"
	"path"

	"cbuild/cas"
	"cbuild/engine"
)

// Write are the attributes of a write: a file with given content.
type Write struct {
	Common
	Content    engine.Text `hcl:"content,required" doc:"Content of the file."`
	Path       string      `hcl:"path" default:"the name of the target" doc:"Path of the file."`
	Executable bool        `hcl:"executable" default:"false" doc:"Whether it can be executed."`
}

// Plan makes an action that stores the content.
func (w *Write) Plan(_ context.Context, rt *Runtime, self Self) (*engine.Plan, error) {
	content, ok := w.Content.IsLiteral()
	if !ok {
		return nil, invalidf("content: it is text, and can't hold the path of an artifact")
	}
	name := w.Path
	if name == "" {
		name = self.Name
	}
	name = path.Clean(name)
	if !inside(name) || name == "." {
		return nil, invalidf("path: %q is not inside a directory", w.Path)
	}
	a := &writeAction{store: rt.Store, content: []byte(content), path: name, executable: w.Executable}
	return &engine.Plan{Action: a, Trivial: true, Shape: engine.OutSpec{Path: name}}, nil
}

type writeAction struct {
	store      cas.Store
	content    []byte
	path       string
	executable bool
}

func (a *writeAction) Key() engine.Key  { return a.builder().Sum() }
func (a *writeAction) Preimage() []byte { return a.builder().Preimage() }

func (a *writeAction) builder() *engine.KeyBuilder {
	b := engine.NewKey("write", 1)
	b.String("content", string(a.content))
	b.String("path", a.path)
	b.Bool("executable", a.executable)
	return b
}

func (a *writeAction) Do(ctx context.Context, _ func(engine.Event)) (*engine.Result, error) {
	d, err := cas.PutBytes(ctx, a.store, a.content)
	if err != nil {
		return nil, err
	}
	file := engine.Artifact{Digest: d, Executable: a.executable, Name: a.path}
	return &engine.Result{Outs: []engine.Output{{Path: a.path, Artifact: file}}}, nil
}
