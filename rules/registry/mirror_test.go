package registry

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"cbuild/engine"
)

// TestReportsNameNoMirror shows that what a report may say of an error holds no host, unless the address is the user's own.
func TestReportsNameNoMirror(t *testing.T) {
	trouble := func(address string) error {
		return &engine.TroubleError{Retry: true, Err: fmt.Errorf("GET %s: cannot reach proxy.example:8080 (proxy.example: no such host)", address)}
	}
	for _, own := range []bool{false, true} {
		err := Try(t.Context(), []Mirror{{URL: "https://proxy.example:8080/a/@v/list", Own: own}}, trouble)
		if !strings.Contains(err.Error(), "proxy.example") {
			t.Errorf("the person at the console wants to know: %v", err)
		}
		var again *engine.TroubleError
		if !errors.As(err, &again) || !again.Retry {
			t.Errorf("what kind of error it is must stay: %v", err)
		}
		public := engine.PublicText(fmt.Errorf("a: %w", err))
		if strings.Contains(public, "proxy.example") != own {
			t.Errorf("with an address of the user's own (%v) a report says %q", own, public)
		}
	}
}
