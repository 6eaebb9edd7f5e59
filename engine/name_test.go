package engine

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// Names of instances are quoted as Go quotes strings.
func TestInstanceNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		target := &Target{Rule: "run", Label: Label{Name: "check"}, Repeated: rapid.Bool().Draw(t, "repeated")}
		key, axes := rapid.String().Draw(t, "key"), rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "axes")
		want := "run.check"
		if target.Repeated && key != "" {
			want += fmt.Sprintf("[%q]", key)
		}
		for _, a := range axes {
			want += fmt.Sprintf("[%q]", a)
		}
		if got := target.InstanceName(key, axes); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}
