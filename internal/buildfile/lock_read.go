package buildfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

const lockHint = "Restore it from version control, or remove it and run cbuild update."

// parse reads the lock file.
func (l *Lock) parse(diags *Diagnostics) (map[string]map[string]string, error) {
	pins := make(map[string]map[string]string)
	data, err := os.ReadFile(filepath.Join(l.root, LockName))
	if errors.Is(err, fs.ErrNotExist) {
		return pins, nil
	}
	if err != nil {
		return pins, err
	}
	src := &source{name: LockName, data: data}
	if line := conflictLine(data); line > 0 {
		diags.add(src, hcl.Range{Filename: LockName, Start: hcl.Pos{Line: line, Column: 1}}, "Merge conflict in "+LockName,
			"Keep one side, and remove the marker lines; the next build completes it.")
		return pins, nil
	}
	if why := tooDeep(data); why != "" {
		return pins, errors.New(why)
	}
	f, parsed := hclsyntax.ParseConfig(data, LockName, hcl.InitialPos)
	if parsed.HasErrors() {
		d := fromHCL(src, firstError(parsed))
		diags.add(src, d.rng, "Damaged "+LockName, d.Summary+". "+lockHint)
		return pins, nil
	}
	for _, b := range f.Body.(*hclsyntax.Body).Blocks {
		if b.Type != "pins" || len(b.Labels) != 1 {
			diags.add(src, b.DefRange(), "Damaged "+LockName, "It holds blocks pins \"//DIR:NAME\" only. "+lockHint)
			continue
		}
		m, err := l.block(b)
		if err != nil {
			diags.add(src, b.DefRange(), "Damaged "+LockName, sentence(err)+" "+lockHint)
			continue
		}
		if pins[b.Labels[0]] != nil {
			diags.add(src, b.DefRange(), "Damaged "+LockName, b.Labels[0]+" is there twice. "+lockHint)
			continue
		}
		pins[b.Labels[0]] = m
	}
	return pins, nil
}

// block reads the pins of one target.
func (l *Lock) block(b *hclsyntax.Block) (map[string]string, error) {
	values := make(map[string]cty.Value)
	for name, a := range b.Body.Attributes {
		v, diags := a.Expr.Value(nil)
		if diags.HasErrors() {
			return nil, errors.New(diags[0].Summary)
		}
		values[name] = v
	}
	var m map[string]string
	if v, ok := values["answers"]; ok {
		err := decodeMap(&m, v, func(e cty.Value) (s string, err error) { return s, decodeString(&s, e) })
		return m, err
	}
	var file, digest string
	for name, dst := range map[string]*string{"file": &file, "digest": &digest} {
		v, ok := values[name]
		if !ok {
			return nil, fmt.Errorf("the attribute %q is missing", name)
		}
		if err := decodeString(dst, v); err != nil {
			return nil, err
		}
	}
	if file != answerFile(b.Labels[0]) {
		return nil, fmt.Errorf("%q is not the name of its answer file", file)
	}
	l.files[file] = true
	return l.readAnswers(file, digest)
}

// conflictLine returns the line of the first conflict marker, or 0.
func conflictLine(data []byte) int {
	for i, line := range strings.Split(string(data), "\n") {
		if strings.HasPrefix(line, "<<<<<<< ") || strings.HasPrefix(line, ">>>>>>> ") || strings.TrimRight(line, "\r") == "=======" {
			return i + 1
		}
	}
	return 0
}
