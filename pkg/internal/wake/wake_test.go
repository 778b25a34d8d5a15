package wake_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/internal/ipctest"
	"example.com/ipcsuite/pkg/internal/wake"
)

func newWaker(t *testing.T, ctx context.Context) *wake.Waker {
	t.Helper()
	w, err := wake.New(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// pipe returns two descriptors, of which the first becomes readable when
// something is written to the second.
func pipe(t *testing.T) (r, w int) {
	t.Helper()
	var fds [2]int
	ipctest.Must(t, unix.Pipe2(fds[:], unix.O_CLOEXEC))
	t.Cleanup(func() {
		unix.Close(fds[0])
		unix.Close(fds[1])
	})
	return fds[0], fds[1]
}

// poll waits for r in a goroutine.
func poll(w *wake.Waker, r int, timeout int) <-chan result {
	return ipctest.Go(func() result {
		if err := w.Enter(); err != nil {
			return result{0, err}
		}
		defer w.Leave()
		set := []unix.PollFd{1: {Fd: int32(r), Events: unix.POLLIN}}
		err := w.Poll(set, timeout)
		return result{set[1].Revents, err}
	})
}

type result struct {
	revents int16
	err     error
}

func expect(t *testing.T, c <-chan result, revents int16, target error) {
	t.Helper()
	got := ipctest.Within(t, c)
	if got.revents != revents || !errors.Is(got.err, target) {
		t.Errorf("Poll: %#x, %v; want %#x, %v", got.revents, got.err, revents, target)
	}
}

func TestPollReturnsWhatIsReady(t *testing.T) {
	t.Parallel()
	w := newWaker(t, context.Background())
	r, in := pipe(t)
	expect(t, poll(w, r, 0), 0, nil) // nothing
	expect(t, poll(w, r, 1), 0, nil)
	c := poll(w, r, -1)
	ipctest.Write(t, in, "x")
	expect(t, c, unix.POLLIN, nil)
}

func TestContextEndsThisAndEveryLaterPoll(t *testing.T) {
	t.Parallel()
	reason := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	w := newWaker(t, ctx)
	r, _ := pipe(t)
	first, second := poll(w, r, -1), poll(w, r, -1)
	cancel(reason)
	expect(t, first, 0, reason)
	expect(t, second, 0, reason)
	expect(t, poll(w, r, -1), 0, reason)
	if err := w.Enter(); err != nil { // the descriptors are there still
		t.Error(err)
	} else {
		w.Leave()
	}
	if _, err := wake.New(ctx); !errors.Is(err, reason) {
		t.Errorf("New under a context that is done: %v", err)
	}
}

func TestCloseEndsThisAndEveryLaterPoll(t *testing.T) {
	t.Parallel()
	w := newWaker(t, context.Background())
	r, _ := pipe(t)
	first, second := poll(w, r, -1), poll(w, r, -1)
	if !w.Close() {
		t.Error("the first Close was not the one that closed")
	}
	expect(t, first, 0, os.ErrClosed)
	expect(t, second, 0, os.ErrClosed)
	expect(t, poll(w, r, -1), 0, os.ErrClosed)
	if w.Close() {
		t.Error("the second Close closed again")
	}
}

func TestCloseWaitsForEveryUse(t *testing.T) {
	t.Parallel()
	w := newWaker(t, context.Background())
	ipctest.Must(t, w.Enter())
	closed := ipctest.Go(w.Close)
	// Poll tells when Close has begun; it cannot end before Leave.
	set := make([]unix.PollFd, 1)
	if err := w.Poll(set, -1); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Poll: %v", err)
	}
	select {
	case <-closed:
		t.Error("Close did not wait for Leave")
	default:
	}
	w.Leave()
	ipctest.Within(t, closed)
}

func TestOneOfManyClosesCloses(t *testing.T) {
	t.Parallel()
	for range 100 {
		ctx, cancel := context.WithCancel(context.Background())
		w := newWaker(t, ctx)
		r, _ := pipe(t)
		var closes sync.WaitGroup
		won := make(chan bool, 4)
		c := poll(w, r, -1)
		closes.Go(cancel)
		for range cap(won) {
			closes.Go(func() { won <- w.Close() })
		}
		closes.Wait()
		if got := ipctest.Within(t, c); got.err == nil {
			t.Error("Poll returned without a reason")
		}
		n := 0
		for range cap(won) {
			if <-won {
				n++
			}
		}
		if n != 1 {
			t.Fatalf("%d calls say that they have closed", n)
		}
	}
}

func TestPollDoesNotAllocate(t *testing.T) {
	w := newWaker(t, context.Background())
	r, in := pipe(t)
	ipctest.Write(t, in, "x")
	ipctest.NoAllocations(t, func() {
		ipctest.Must(t, w.Enter())
		set := [2]unix.PollFd{1: {Fd: int32(r), Events: unix.POLLIN}}
		if err := w.Await(set[:]); err != nil || set[1].Revents != unix.POLLIN {
			t.Fatal(err, set)
		}
		w.Leave()
	})
}

// However long it looks, Await ends with what it waits for.
func TestAwaitWithAndWithoutLooking(t *testing.T) {
	t.Parallel()
	for _, spin := range []time.Duration{0, wake.SpinTime, time.Hour} {
		reason := errors.New("enough")
		ctx, cancel := context.WithCancelCause(context.Background())
		w := newWaker(t, ctx)
		w.SetSpin(spin)
		r, in := pipe(t)
		await := func() <-chan error {
			return ipctest.Go(func() error {
				set := [2]unix.PollFd{1: {Fd: int32(r), Events: unix.POLLIN}}
				if err := w.Enter(); err != nil {
					return err
				}
				defer w.Leave()
				return w.Await(set[:])
			})
		}
		ready := await()
		ipctest.Write(t, in, "x")
		if err := ipctest.Within(t, ready); err != nil {
			t.Errorf("spin %v: %v", spin, err)
		}
		if _, err := unix.Read(r, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		ended := await()
		cancel(reason)
		if err := ipctest.Within(t, ended); !errors.Is(err, reason) {
			t.Errorf("spin %v: cancelled: %v", spin, err)
		}
	}
}
