package stream

import (
	"io"
	"sync"
	"time"
)

// Flow is one side of a stream under way: work that copies through the ring on
// the one hand, and on the other through a descriptor, where it can be blocked
// for as long as whoever is behind that likes. A read(2) from a terminal or a
// write(2) to a full pipe cannot be called off.
//
// So a Flow that is stopped leaves its work where it is. The memory of the ring
// must then stay mapped, as the kernel may still read from it or write to it.
type Flow struct {
	// mu is held by the work, except while it is in a system call, or all of
	// its goroutines are: who takes it from there, and keeps it, knows that the
	// total is final.
	mu    sync.Mutex
	count counter
	ended bool
}

// NewFlow returns a Flow that computes a checksum if sum is set.
func NewFlow(sum bool) *Flow { return &Flow{count: counter{Total: Total{Summed: sum}}} }

// Run runs work until it returns, or stop is closed while it is blocked in a
// system call and still is when grace has passed: then it reports that the work
// is left behind, which will never get further than that call.
func (f *Flow) Run(work func() error, stop <-chan struct{}, grace time.Duration) (left bool, err error) {
	done := make(chan error, 1)
	f.mu.Lock()
	go func() {
		defer f.mu.Unlock()
		err := work()
		f.ended = true
		done <- err
	}()
	select {
	case err := <-done:
		return false, err
	case <-stop:
	}
	select {
	case err := <-done:
		return false, err
	case <-time.After(grace):
	}
	f.mu.Lock()
	if f.ended {
		f.mu.Unlock()
		return false, <-done
	}
	return true, nil // with the lock
}

// Total returns what has passed. It may be called by the work, and after Run.
func (f *Flow) Total() Total { return f.count.total() }

// Lock and Unlock are for work that several goroutines share: each has the lock
// except while it is in a system call or waits for another of them. The one that
// Run has started has it already. Work that is left behind never gets it back.
func (f *Flow) Lock() { f.mu.Lock() }

// Unlock undoes Lock.
func (f *Flow) Unlock() { f.mu.Unlock() }

// Count counts the bytes that come next. The caller has the lock.
func (f *Flow) Count(p []byte) { f.count.add(p) }

// Reader returns a reader of src for the work. It counts what it returns, and
// tells passed of it, if that is not nil.
func (f *Flow) Reader(src io.Reader, passed func(bytes int)) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		f.mu.Unlock()
		n, err := src.Read(p)
		f.mu.Lock()
		f.count.add(p[:n])
		if passed != nil {
			passed(n)
		}
		return n, err
	})
}

// Writer returns a writer to dst for the work. It counts what dst has taken.
func (f *Flow) Writer(dst io.Writer) io.Writer {
	return writerFunc(func(p []byte) (int, error) {
		f.mu.Unlock()
		n, err := dst.Write(p)
		f.mu.Lock()
		f.count.add(p[:n])
		return n, err
	})
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
