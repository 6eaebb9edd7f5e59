package graph

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"cbuild/engine"
)

// A model is a graph as a matrix of distances, along references, between targets t0, t1 and so on; -1 stands for none.
type model struct {
	targets  []*engine.Target
	distance [][]int
}

func randomModel(r *rand.Rand) *model {
	const n = 7
	m := &model{}
	var text strings.Builder
	for i := range n {
		row := make([]int, n)
		fmt.Fprintf(&text, "t%d %s:", i, []string{"run", "fetch"}[r.IntN(2)])
		for j := range row {
			switch {
			case i == j:
				row[j] = 0
			case j < i && r.IntN(3) == 0:
				row[j] = 1
				fmt.Fprintf(&text, " t%d", j)
			default:
				row[j] = -1
			}
		}
		text.WriteString("\n")
		m.distance = append(m.distance, row)
	}
	for k := range n { // Floyd and Warshall
		for i := range n {
			for j := range n {
				a, b := m.distance[i][k], m.distance[k][j]
				if a >= 0 && b >= 0 && (m.distance[i][j] < 0 || a+b < m.distance[i][j]) {
					m.distance[i][j] = a + b
				}
			}
		}
	}
	m.targets = targetsOf(text.String())
	return m
}

// expression returns a random expression, and which of the targets it selects.
func (m *model) expression(r *rand.Rand, size int) (string, []bool) {
	found := make([]bool, len(m.targets))
	if size <= 1 {
		i := r.IntN(len(found))
		found[i] = true
		return fmt.Sprintf("t%d", i), found
	}
	x, in := m.expression(r, size/2)
	y, other := m.expression(r, size-size/2)
	within := func(d, limit int) bool { return d >= 0 && (limit < 0 || d <= limit) }
	limit, depth := -1, ""
	if r.IntN(2) == 0 {
		limit = r.IntN(3)
		depth = fmt.Sprintf(", %d", limit)
	}
	text := ""
	switch k := r.IntN(7); k {
	case 0, 1, 2:
		text = "(" + x + []string{" + ", " - ", " ^ "}[k] + y + ")"
		for i := range found {
			found[i] = []bool{in[i] || other[i], in[i] && !other[i], in[i] && other[i]}[k]
		}
	case 3, 4:
		text = []string{"deps(", "rdeps("}[k-3] + x + depth + ")"
		for i := range found {
			for j := range found {
				d := m.distance[j][i]
				if k == 4 {
					d = m.distance[i][j]
				}
				found[i] = found[i] || in[j] && within(d, limit)
			}
		}
	case 5:
		text = "path(" + x + ", " + y + ")"
		for i := range found {
			from, to := false, false
			for j := range found {
				from = from || in[j] && m.distance[j][i] >= 0
				to = to || other[j] && m.distance[i][j] >= 0
			}
			found[i] = from && to
		}
	case 6:
		text = "kind(run, " + x + ")"
		for i := range found {
			found[i] = in[i] && m.targets[i].Rule == "run"
		}
	}
	return text, found
}

// TestSelectAsAModelSays compares random expressions over random graphs with what distances between all targets say.
func TestSelectAsAModelSays(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	some := 0
	for range 5000 {
		m := randomModel(r)
		text, in := m.expression(r, 1+r.IntN(8))
		found, err := Select(text, world(m.targets))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for i, target := range m.targets {
			if slices.Contains(found, target) != in[i] {
				t.Fatalf("%s: %v is selected: %v", text, target.Label, !in[i])
			}
		}
		if len(found) > 1 {
			some++
		}
	}
	if some < 1000 {
		t.Errorf("only %d expressions select several targets: does this test still try what it is for?", some)
	}
}
