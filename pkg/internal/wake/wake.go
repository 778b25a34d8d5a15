// Package wake lets a context, or a Close, end a poll(2).
//
// The packages above it keep their descriptors out of the Go runtime's poller
// and block in the system call itself, on the thread that made it: a wake-up
// through the poller costs several times that of a sleeping thread. An
// eventfd(2) in the same poll set gives back what the poller would have given,
// a way to be cancelled.
package wake

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Waker guards the use of descriptors that its owner closes after Close:
//
//	if err := w.Enter(); err != nil {
//		return err // os.ErrClosed
//	}
//	defer w.Leave()
//	// read, write, w.Poll
//
// Its methods may be called from several goroutines at once.
type Waker struct {
	ctx  context.Context // it is the lifetime of the descriptors, as net/http.Request has one
	efd  int
	stop func() bool
	spin atomic.Int64 // how long Await looks, a time.Duration

	// uses is held shared between Enter and Leave. A descriptor closed while
	// it is still in use could by then be the number of another file.
	uses   sync.RWMutex
	closed bool
}

// New returns a Waker that is bound to ctx. It holds one descriptor, an
// eventfd(2), until Close.
func New(ctx context.Context) (*Waker, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	efd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd2", err)
	}
	w := &Waker{ctx: ctx, efd: efd}
	w.SetSpin(SpinTime)
	w.stop = context.AfterFunc(ctx, w.wake)
	return w, nil
}

// Enter begins a use of the guarded descriptors. It fails with
// [os.ErrClosed] after Close, and then Leave must not be called.
func (w *Waker) Enter() error {
	w.uses.RLock()
	if w.closed {
		w.uses.RUnlock()
		return os.ErrClosed
	}
	return nil
}

// Leave ends what Enter began.
func (w *Waker) Leave() { w.uses.RUnlock() }

// Err returns [context.Cause] when the context is done, and nil before.
func (w *Waker) Err() error { return context.Cause(w.ctx) }

// Poll is poll(2): it blocks until a descriptor of set is ready or timeout
// milliseconds have passed (negative: no limit), and leaves in set what the
// kernel reported, nothing after the timeout. It fails with [context.Cause]
// when the context is done and with [os.ErrClosed] when Close is called.
//
// set[0] is the Waker's own and overwritten; the caller's descriptors follow.
// Poll must be called between Enter and Leave.
func (w *Waker) Poll(set []unix.PollFd, timeout int) error {
	set[0] = unix.PollFd{Fd: int32(w.efd), Events: unix.POLLIN}
	for {
		_, err := unix.Poll(set, timeout)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return os.NewSyscallError("poll", err)
		case set[0].Revents == 0:
			return nil
		case w.ctx.Err() != nil:
			return context.Cause(w.ctx)
		default:
			return os.ErrClosed
		}
	}
}

// SpinTime is how long Await looks before it sleeps, unless SetSpin says otherwise.
// A peer on another processor that is at work on the answer needs some
// microseconds; to be put to sleep and woken costs tens of them. In lock-step
// through a mailbox, 200,000 texts of 64 bytes took, on two processors, 20 µs each
// without, 9.5 with 5 µs, 4.8 with 20 µs and 3.7 with 50 µs. More than that is no
// gain any more, and it is what a process that waits for long pays once.
const SpinTime = 50 * time.Microsecond

// Await is Poll without a limit, for an event that may be only microseconds
// away: it looks a while before it sleeps, unless there is a single processor,
// which the peer needs then.
//
// That is a guess from this process alone: NumCPU is how many processors it was
// allowed at its start (sched_getaffinity(2)), and a process pinned to one does not
// look, though its peer may be pinned to another. It sleeps then, which is slower
// and always right; where the peer runs, it cannot know. Package ring guesses the
// same way.
func (w *Waker) Await(set []unix.PollFd) error {
	if spin := time.Duration(w.spin.Load()); spin > 0 && runtime.NumCPU() > 1 {
		for end := time.Now().Add(spin); time.Now().Before(end); {
			if err := w.Poll(set, 0); err != nil {
				return err
			}
			for _, fd := range set[1:] {
				if fd.Revents != 0 {
					return nil
				}
			}
		}
	}
	return w.Poll(set, -1)
}

// SetSpin sets how long Await looks before it sleeps: 0 for not at all.
func (w *Waker) SetSpin(d time.Duration) { w.spin.Store(int64(d)) }

// Close ends every Poll, waits until no use is left, and frees the eventfd.
// Afterwards the owner can close the guarded descriptors. It reports whether
// this call was the one that closed.
func (w *Waker) Close() bool {
	w.stop()
	w.wake()
	w.uses.Lock()
	defer w.uses.Unlock()
	if w.closed {
		return false
	}
	w.closed = true
	_ = unix.Close(w.efd)
	return true
}

// wake makes the eventfd readable, for good: nobody reads it, so a Poll that
// starts later returns at once as well.
func (w *Waker) wake() {
	if w.Enter() != nil {
		return
	}
	defer w.Leave()
	one := [8]byte{0: 1, 7: 1} // a number above zero in either byte order
	// EAGAIN would mean that the counter is full, and so readable already.
	_, _ = unix.Write(w.efd, one[:])
}
