package buildfile

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format lays out the text of a BUILD.hcl as `cbuild fmt` does: aligned, one blank line between blocks, and a final newline.
// Formatting twice changes nothing more. The error holds what is wrong with a file that cannot be parsed.
func Format(src []byte) ([]byte, error) {
	if why := tooDeep(src); why != "" || len(src) > maxFile {
		return nil, errors.New(why)
	}
	src = bytes.ReplaceAll(bytes.TrimPrefix(src, []byte("\xef\xbb\xbf")), []byte("\r\n"), []byte("\n"))
	f, diags := hclsyntax.ParseConfig(src, FileName, hcl.InitialPos)
	if diags.HasErrors() {
		d := firstError(diags)
		return nil, fmt.Errorf("line %d: %s: %s", d.Subject.Start.Line, d.Summary, d.Detail)
	}
	out := hclwrite.Format(separate(src, f.Body.(*hclsyntax.Body)))
	if out = bytes.TrimSpace(out); len(out) == 0 {
		return nil, nil
	}
	return append(out, '\n'), nil
}

// separate returns src with exactly one blank line between top-level blocks, comments above a block belonging to it.
func separate(src []byte, body *hclsyntax.Body) []byte {
	// A block on one line may stay with its like, as in a list of variables.
	starts, ends := make(map[int]bool), make(map[int]bool)
	single := make(map[int]bool)
	for _, b := range body.Blocks {
		first, last := b.Range().Start.Line, b.CloseBraceRange.End.Line
		starts[first], ends[last] = true, true
		single[first] = first == last
	}
	lines := bytes.Split(src, []byte("\n"))
	outside := outsideLines(len(lines), body)
	var out [][]byte
	for i, line := range lines {
		n := i + 1
		blank := len(bytes.TrimSpace(line)) == 0
		if outside[n] && blank && (len(out) == 0 || len(bytes.TrimSpace(out[len(out)-1])) == 0) {
			continue // a second blank line
		}
		if outside[n] && !blank && ends[n-1] {
			out = append(out, nil) // a comment or attribute right behind a block
		} else if starts[n] && ends[n-1] && !(single[n] && single[n-1]) {
			out = append(out, nil)
		}
		out = append(out, line)
	}
	return bytes.Join(out, []byte("\n"))
}

// outsideLines reports which lines lie outside every block.
func outsideLines(n int, body *hclsyntax.Body) map[int]bool {
	outside := make(map[int]bool, n)
	for i := 1; i <= n+1; i++ {
		outside[i] = true
	}
	for _, b := range body.Blocks {
		for i := b.Range().Start.Line; i <= b.CloseBraceRange.End.Line; i++ {
			delete(outside, i)
		}
	}
	for _, a := range body.Attributes {
		for i := a.SrcRange.Start.Line; i <= a.SrcRange.End.Line; i++ {
			delete(outside, i)
		}
	}
	return outside
}
