package download

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

// A watchdog cancels its context when less than 1 KiB per second comes through its reader for a whole window.
type watchdog struct {
	window time.Duration
	cancel context.CancelCauseFunc
	timer  *time.Timer
	bytes  atomic.Int64
}

// newWatchdog returns a watchdog that sleeps until start, and the context that it cancels.
func newWatchdog(ctx context.Context, window time.Duration) (*watchdog, context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watchdog{window: window, cancel: cancel}
	return w, ctx
}

func (w *watchdog) start() {
	least := int64(w.window.Seconds() * 1024)
	armed := make(chan struct{}) // the timer may fire before it is assigned
	w.timer = time.AfterFunc(w.window, func() {
		<-armed
		if w.bytes.Swap(0) < max(least, 1) {
			w.cancel(&stallError{w.window})
			return
		}
		w.timer.Reset(w.window)
	})
	close(armed)
}

// stop ends the watch and frees the context.
func (w *watchdog) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
	w.cancel(nil)
}

func (w *watchdog) reader(r io.Reader) io.Reader { return &watched{r, w} }

type watched struct {
	r io.Reader
	w *watchdog
}

func (r *watched) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.w.bytes.Add(int64(n))
	return n, err
}
