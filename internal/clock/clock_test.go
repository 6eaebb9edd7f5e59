package clock

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestSkewedIsWrongOnlyAboutTheDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Skewed(-24 * time.Hour)
		if got := System.Now().Sub(c.Now()); got != 24*time.Hour {
			t.Errorf("it is off by %v, want a day", got)
		}
		before, sys := c.Elapsed(), System.Elapsed()
		if err := c.Sleep(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
		if got := c.Elapsed() - before; got != time.Minute || System.Elapsed()-sys != time.Minute {
			t.Errorf("a minute of sleep took %v", got)
		}
	})
}

func TestSleepEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		before := System.Elapsed()
		if err := System.Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
		if got := System.Elapsed() - before; got != time.Second {
			t.Errorf("it slept %v", got)
		}
	})
}
