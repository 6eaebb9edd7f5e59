package rules_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"cbuild/rules"
	"cbuild/rules/registry"
)

// The values that `registry` may have are the registries that there are.
func TestRegistriesAreThoseThatAreKnown(t *testing.T) {
	field, _ := reflect.TypeFor[rules.Query]().FieldByName("Registry")
	one := strings.Fields(field.Tag.Get("one"))
	if slices.Sort(one); !slices.Equal(one, registry.Names()) {
		t.Errorf("registry may be %q, there are %q", one, registry.Names())
	}
}
