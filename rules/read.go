package rules

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"cbuild/cas"
	"cbuild/engine"
)

// maxText is the most standard output, in bytes, that an expression can read.
const maxText = 1 << 20

// Read returns the readable attribute name of the outcome o of an instance of row. Name is one of the Reads of the target's Kind.
// `out` of anything but a pass is an *engine.SkippedError that names the instance and its outcome; the others can be read of every
// outcome, and are nil where there is nothing to say.
func Read(ctx context.Context, rt *Runtime, row *engine.Row, o *engine.Outcome, name string) (engine.Value, error) {
	switch name {
	case "ok":
		return o.OK(), nil
	case "outcome":
		return string(o.Class()), nil
	case "key":
		return o.Key.String(), nil
	case "value":
		return row.Value, nil
	case "matrix":
		return axisKeys(row.Target, o), nil
	case "out":
		if !o.OK() {
			return nil, &engine.SkippedError{Cause: row.Target.InstanceName(row.Key, o.Axes) + " is " + string(o.Class()), Trouble: engine.Troubled(o.Err)}
		}
		return shaped(o.Shape, o.Result)
	case "partial":
		return shapedPartly(o.Shape, o.Result), nil
	}
	if o.Result == nil {
		return nil, nil
	}
	switch name {
	case "exit_code":
		return int64(o.Result.ExitCode), nil
	case "log":
		return logArtifact(o.Result.Log), nil
	case "text":
		return text(ctx, rt, o.Result)
	case "json":
		return jsonValue(ctx, rt, o.Result)
	}
	return fact(o, name)
}

func axisKeys(t *engine.Target, o *engine.Outcome) engine.Object {
	keys := make(engine.Object, len(o.Axes))
	for i, axis := range o.Axes {
		keys[t.Axes[i]] = axis
	}
	return keys
}

// shaped puts artifacts in the places of the specs of shape. A missing optional out is nil.
func shaped(shape engine.Shape, r *engine.Result) (engine.Value, error) {
	var missing error
	v := mapShape(shape, func(o engine.OutSpec) engine.Value {
		a, ok := r.Out(o.Path)
		if !ok {
			if !o.Optional {
				missing = fmt.Errorf("the stored result has no output %s", o.Path)
			}
			return nil
		}
		return a
	})
	return v, missing
}

func shapedPartly(shape engine.Shape, r *engine.Result) engine.Value {
	return mapShape(shape, func(o engine.OutSpec) engine.Value {
		if r == nil {
			return nil
		}
		if a, ok := r.Out(o.Path); ok {
			return a
		}
		return nil
	})
}

func mapShape(shape engine.Shape, f func(engine.OutSpec) engine.Value) engine.Value {
	switch s := shape.(type) {
	case engine.OutSpec:
		return f(s)
	case []engine.Value:
		list := make([]engine.Value, len(s))
		for i, v := range s {
			list[i] = mapShape(v, f)
		}
		return list
	case engine.Object:
		object := make(engine.Object, len(s))
		for k, v := range s {
			object[k] = mapShape(v, f)
		}
		return object
	}
	return nil
}

func logArtifact(log cas.Digest) engine.Value {
	if log.IsZero() {
		return nil
	}
	return engine.Artifact{Digest: log, Name: "log"}
}

func text(ctx context.Context, rt *Runtime, r *engine.Result) (engine.Value, error) {
	if why := r.Facts["text"]; why != "" {
		return nil, &engine.InvalidError{Err: fmt.Errorf("text: standard output is %s to be read: more than %d bytes", why, maxText)}
	}
	if r.Stdout.IsZero() {
		return "", nil
	}
	data, err := cas.ReadAll(ctx, rt.Store, r.Stdout, maxText)
	if errors.Is(err, cas.ErrNotFound) {
		err = &engine.LostError{Digest: r.Stdout, Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("text: %w", err)
	}
	s := strings.TrimSpace(strings.ToValidUTF8(string(data), "\uFFFD"))
	return s, nil
}

func jsonValue(ctx context.Context, rt *Runtime, r *engine.Result) (engine.Value, error) {
	s, err := text(ctx, rt, r)
	if err != nil {
		return nil, err
	}
	v, err := ParseJSON([]byte(s.(string)))
	if err != nil {
		return nil, &engine.InvalidError{Err: fmt.Errorf("json: what it printed is no JSON: %w", err)}
	}
	return v, nil
}

// ParseJSON returns the JSON document data as a Value: whole numbers are int64, others float64.
func ParseJSON(data []byte) (engine.Value, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the document")
	}
	return plain(v)
}

func plain(v any) (_ engine.Value, err error) {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i, nil
		}
		return v.Float64()
	case []any:
		for i := range v {
			if v[i], err = plain(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range v {
			if v[k], err = plain(v[k]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// fact returns an attribute that the action found out.
func fact(o *engine.Outcome, name string) (engine.Value, error) {
	s, ok := o.Result.Facts[name]
	if !ok {
		return nil, nil
	}
	switch name {
	case "size", "count":
		return strconv.ParseInt(s, 10, 64)
	case "summary":
		return ParseJSON([]byte(s))
	case "bin":
		return inTool(o, "${ROOT}/"+s), nil
	case "env":
		v, err := ParseJSON([]byte(s))
		if err != nil {
			return nil, err
		}
		env := make(engine.Object)
		for name, value := range v.(map[string]any) {
			env[name] = inTool(o, value.(string))
		}
		return env, nil
	}
	return s, nil
}

// inTool returns s with the toolchain's tree in place of ${ROOT}.
func inTool(o *engine.Outcome, s string) engine.Value {
	literals := strings.Split(s, "${ROOT}")
	if len(literals) == 1 {
		return s
	}
	var t engine.Text
	for i, lit := range literals {
		if i > 0 {
			t = append(t, engine.Part{Artifact: &o.Result.Outs[0].Artifact})
		}
		if lit != "" {
			t = append(t, engine.Part{Lit: lit})
		}
	}
	return t
}
