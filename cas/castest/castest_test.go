package castest

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"cbuild/cas"
	"cbuild/engine"
)

func TestMemory(t *testing.T) {
	Store(t, func(*testing.T) cas.Store { return NewMemory() })
}

func TestFaultyIsAStore(t *testing.T) {
	Store(t, func(*testing.T) cas.Store { return NewFaulty(NewMemory(), 0, nil) })
}

func TestMemoryActionCache(t *testing.T) {
	ActionCache(t, func(*testing.T) engine.ActionCache { return NewMemoryActionCache() })
}

func TestFaultyFailsTheNthCall(t *testing.T) {
	broken := errors.New("broken")
	s := NewFaulty(NewMemory(), 2, broken)
	d := mustPut(t, s, []byte("a"))
	if _, err := s.Open(t.Context(), d); !errors.Is(err, broken) {
		t.Errorf("second call: %v", err)
	}
	expect(t, s, d, []byte("a"))
	if s.Calls() != 3 {
		t.Errorf("%d calls", s.Calls())
	}
}

func TestFaultyDamagesUntilPutAgain(t *testing.T) {
	s := NewFaulty(NewMemory(), 0, nil)
	d := mustPut(t, s, []byte("a"))
	s.Damage(d)
	r, err := s.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); !errors.Is(err, cas.ErrNotFound) {
		t.Errorf("a damaged blob reads as %v", err)
	}
	if m, _ := s.Missing(t.Context(), []cas.Digest{d}); len(m) != 1 {
		t.Error("it is still there")
	}
	if _, err := s.Put(t.Context(), bytes.NewReader([]byte("a"))); err != nil {
		t.Fatal(err)
	}
	expect(t, s, d, []byte("a"))
	s.Lose(d)
	if _, err := s.Open(t.Context(), d); !errors.Is(err, cas.ErrNotFound) {
		t.Errorf("a lost blob: %v", err)
	}
}
