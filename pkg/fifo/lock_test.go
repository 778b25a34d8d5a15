package fifo_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/internal/ipctest"
)

func TestOneWriterAtATimeHasTheLock(t *testing.T) {
	t.Parallel()
	f, _, first := pair(t)
	second := ipctest.Writer(t, f.Path())
	ipctest.Must(t, first.Lock())
	waiting := ipctest.Go(second.Lock)
	ipctest.Eventually(t, "the second waits", func() bool { return ipctest.ThreadsIn(os.Getpid(), unix.SYS_FLOCK) > 0 })
	if len(waiting) > 0 {
		t.Fatal("both have the lock")
	}
	first.Unlock()
	ipctest.Must(t, ipctest.Within(t, waiting))
	second.Close() // gives it back too
	ipctest.Must(t, first.Lock())
}

func TestTryLockDoesNotWait(t *testing.T) {
	t.Parallel()
	f, _, first := pair(t)
	second := ipctest.Writer(t, f.Path())
	ipctest.Must(t, first.TryLock())
	ipctest.Want(t, second.TryLock(), unix.EWOULDBLOCK)
	first.Unlock()
	ipctest.Must(t, second.TryLock())
	second.Close()
	ipctest.Want(t, second.TryLock(), os.ErrClosed)
}

func TestContextAndCloseEndTheWaitForTheLock(t *testing.T) {
	t.Parallel()
	reason := errors.New("enough")
	for end, target := range map[string]error{"the context": reason, "Close": os.ErrClosed} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			f, _, first := pair(t)
			ipctest.Must(t, first.Lock())
			ctx, cancel := context.WithCancelCause(context.Background())
			second, err := fifo.OpenWriter(ctx, f.Path(), fifo.NoWait)
			ipctest.Must(t, err)
			defer second.Close()
			waiting := ipctest.Blocked(t, second.Lock, ipctest.InPoll...)
			if end == "Close" {
				second.Close()
			} else {
				cancel(reason)
			}
			ipctest.Want(t, ipctest.Within(t, waiting), target)
			// The one that comes too late does not keep the lock.
			first.Unlock()
			third := ipctest.Writer(t, f.Path())
			ipctest.Must(t, third.Lock())
			cancel(nil)
		})
	}
}

// Not parallel: it counts what this process has open.
func TestNoLockIsTakenUnderAContextThatIsDone(t *testing.T) {
	f, _, first := pair(t)
	reason := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	second, err := fifo.OpenWriter(ctx, f.Path(), fifo.NoWait)
	ipctest.Must(t, err)
	defer second.Close()
	ipctest.Must(t, first.Lock())
	cancel(reason)
	before := descriptors(t)
	for range 10 {
		ipctest.Want(t, second.Lock(), reason)
	}
	if after := descriptors(t); after != before {
		t.Errorf("open before:\n%safter:\n%s", before, after)
	}
	first.Unlock()
	ipctest.Want(t, second.Lock(), reason)
	ipctest.Want(t, second.TryLock(), reason)
}

func TestTheLockKeepsWritersApart(t *testing.T) {
	t.Parallel()
	f := ipctest.FIFO(t, tempPath(t))
	// Atomic, because the race detector does not know of flock(2).
	var inside, times atomic.Int32
	var all sync.WaitGroup
	for range 4 {
		w := ipctest.Writer(t, f.Path())
		all.Go(func() {
			for range 200 {
				if err := w.Lock(); err != nil {
					t.Error(err)
					return
				}
				if inside.Add(1) != 1 {
					t.Error("two are inside")
				}
				inside.Add(-1)
				times.Add(1)
				w.Unlock()
			}
		})
	}
	all.Wait()
	if n := times.Load(); n != 4*200 {
		t.Errorf("%d times, want %d", n, 4*200)
	}
}

func TestReadySaysIfThereIsRoom(t *testing.T) {
	t.Parallel()
	f, r, w := pair(t)
	ipctest.Must(t, w.SetCapacity(4096))
	for range 3 {
		if ready, err := w.Ready(); !ready || err != nil {
			t.Errorf("Ready: %v, %v; want room", ready, err)
		}
		send(t, w, "x")
		if ready, err := w.Ready(); ready || err != nil {
			t.Errorf("Ready: %v, %v; want none", ready, err)
		}
		expectMessages(t, r.Read, "x")
	}
	ipctest.Must(t, errors.Join(r.Close(), f.Remove()))
	_, err := w.Ready()
	ipctest.Want(t, err, unix.EPIPE)
}

func TestOwnerIsTheUserWhoMadeTheFIFO(t *testing.T) {
	t.Parallel()
	_, _, w := pair(t)
	if uid, err := w.Owner(); uid != os.Geteuid() || err != nil {
		t.Errorf("Owner: %d, %v; want %d", uid, err, os.Geteuid())
	}
}
