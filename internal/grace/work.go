// Package grace is for work that nothing can call off, and that must not keep a process
// from ending: a write(2) to a full pipe, a read(2) from a terminal. Other processes can
// block such a call for as long as they like.
//
// The work goes on for a while after a signal. Then it is left behind in its call, and its
// counts are final: see [Work]. [Write] and [Lines] are for single lines.
package grace

import (
	"context"
	"io"
	"sync"
	"time"
)

// A process must be gone within a second of a signal. Work may go on for Period of it, and
// work that begins after that for Rest.
const (
	Period = 700 * time.Millisecond
	Rest   = 200 * time.Millisecond
)

// Work is work that may be left behind. Its lock guards all that it counts. The work has
// the lock except while it is in a call that may block.
//
// The zero value is ready for use.
type Work struct {
	mu    sync.Mutex
	ended bool // do has returned
	left  bool // Run has returned before that
}

// Run runs do, with the lock, until it returns. When ctx is done, do has period to return
// by itself. If do is in a call without the lock then, Run leaves it there, and returns
// the cause of ctx. do never goes on, so nothing that the lock guards changes any more.
// Memory that the call reads or writes must stay until the process ends.
//
// With the lock, do must not be in a call that ctx does not end: Run waits for it. A Work
// is run once.
func (w *Work) Run(ctx context.Context, period time.Duration, do func() error) (left bool, err error) {
	done := make(chan error, 1)
	w.mu.Lock()
	go func() {
		defer w.mu.Unlock()
		err := do()
		w.ended = true
		done <- err
	}()
	select {
	case err := <-done:
		return false, err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return false, err
	case <-time.After(period):
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return false, <-done
	}
	w.left = true
	return true, context.Cause(ctx)
}

// Lock and Unlock are for the work: it unlocks before a call that may block, and locks
// after it. Work of several goroutines has all of them do so; the one that Run has
// started begins with the lock. In work that is left behind, Lock never returns.
func (w *Work) Lock() {
	w.mu.Lock()
	if w.left {
		w.mu.Unlock()
		select {} // the process is about to end
	}
}

// Unlock undoes Lock.
func (w *Work) Unlock() { w.mu.Unlock() }

// Reader returns a reader of src for the work. It does not have the lock while it reads.
func (w *Work) Reader(src io.Reader) io.Reader { return reader{w, src} }

// Writer returns a writer to dst for the work. It does not have the lock while it writes.
func (w *Work) Writer(dst io.Writer) io.Writer { return writer{w, dst} }

type reader struct {
	work *Work
	src  io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	r.work.Unlock()
	defer r.work.Lock()
	return r.src.Read(p)
}

type writer struct {
	work *Work
	dst  io.Writer
}

func (w writer) Write(p []byte) (int, error) {
	w.work.Unlock()
	defer w.work.Lock()
	return w.dst.Write(p)
}
