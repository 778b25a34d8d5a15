package fifo

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/pipe"
)

// What stands here is for protocols that use a FIFO to take turns at something
// else, such as package mailbox: with the capacity of a single page, one
// packet fills the FIFO, and the FIFO says whose turn it is.

// SetCapacity is [FIFO.SetCapacity] from the reading side.
func (r *Reader) SetCapacity(bytes int) error {
	if err := r.wake.Enter(); err != nil {
		return fmt.Errorf("set capacity of FIFO %s: %w", r.path, err)
	}
	defer r.wake.Leave()
	_, err := setCapacity(r.fd, r.path, bytes)
	return err
}

// SetCapacity is [FIFO.SetCapacity] from the writing side.
func (w *Writer) SetCapacity(bytes int) error {
	if err := w.wake.Enter(); err != nil {
		return fmt.Errorf("set capacity of FIFO %s: %w", w.path, err)
	}
	defer w.wake.Leave()
	_, err := setCapacity(w.fd, w.path, bytes)
	return err
}

// setCapacity returns what the kernel granted. The kernel looks at the lower 32
// bits of bytes only, and takes what it finds there.
func setCapacity(fd int, path string, bytes int) (int, error) {
	n, err := pipe.SetCapacity(fd, bytes)
	if err != nil {
		return 0, fmt.Errorf("set capacity of FIFO %s to %d bytes: %w", path, bytes, err)
	}
	return n, nil
}

// Ready reports whether a message could be written now, without blocking. It
// fails with [unix.EPIPE] when no process reads the FIFO.
func (w *Writer) Ready() (bool, error) {
	if err := w.wake.Enter(); err != nil {
		return false, fmt.Errorf("look at FIFO %s: %w", w.path, err)
	}
	defer w.wake.Leave()
	set := [2]unix.PollFd{1: {Fd: int32(w.fd), Events: unix.POLLOUT}}
	err := w.wake.Poll(set[:], 0)
	if err == nil && set[1].Revents&unix.POLLERR != 0 {
		err = unix.EPIPE
	}
	if err != nil {
		return false, fmt.Errorf("look at FIFO %s: %w", w.path, err)
	}
	return set[1].Revents&unix.POLLOUT != 0, nil
}

// AwaitGone blocks until no process reads the FIFO any more. It fails with the
// context's cause and with [os.ErrClosed].
func (w *Writer) AwaitGone() error {
	if err := w.wake.Enter(); err != nil {
		return fmt.Errorf("watch FIFO %s: %w", w.path, err)
	}
	defer w.wake.Leave()
	set := [2]unix.PollFd{1: {Fd: int32(w.fd)}} // POLLERR comes unasked for
	if err := w.wake.Poll(set[:], -1); err != nil {
		return fmt.Errorf("watch FIFO %s: %w", w.path, err)
	}
	return nil
}

// Owner returns the user id that owns the FIFO.
func (w *Writer) Owner() (uid int, err error) {
	if err := w.wake.Enter(); err != nil {
		return 0, fmt.Errorf("FIFO %s: %w", w.path, err)
	}
	defer w.wake.Leave()
	var st unix.Stat_t
	if err := unix.Fstat(w.fd, &st); err != nil {
		return 0, fmt.Errorf("FIFO %s: %w", w.path, os.NewSyscallError("fstat", err))
	}
	return int(st.Uid), nil
}

// Lock takes the FIFO's flock(2), which one Writer can have at a time, here or
// in another process, and blocks until it is free. It fails with the cause of the
// context that the FIFO was opened with, and with [os.ErrClosed]. The kernel gives
// the lock back when the process that holds it ends, however it ends.
//
// Goroutines that use one Writer have one lock between them: it does not keep
// them from each other.
//
// Lock allocates only when it has to wait.
func (w *Writer) Lock() error {
	if err := w.wake.Enter(); err != nil {
		return fmt.Errorf("lock FIFO %s: %w", w.path, err)
	}
	defer w.wake.Leave()
	err := w.tryLock()
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = w.awaitLock()
	}
	if err != nil {
		return fmt.Errorf("lock FIFO %s: %w", w.path, err)
	}
	return nil
}

// TryLock takes the lock that [Writer.Lock] takes if it is free, and fails with
// [unix.EWOULDBLOCK] if it is not. Otherwise it fails like Lock.
func (w *Writer) TryLock() error {
	if err := w.wake.Enter(); err != nil {
		return fmt.Errorf("lock FIFO %s: %w", w.path, err)
	}
	defer w.wake.Leave()
	if err := w.tryLock(); err != nil {
		return fmt.Errorf("lock FIFO %s: %w", w.path, err)
	}
	return nil
}

// tryLock takes no lock under a context that is done: a thread that awaitLock has
// left behind would give it back, whoever holds it by then.
func (w *Writer) tryLock() error {
	if err := w.wake.Err(); err != nil {
		return err
	}
	return flock(w.fd, unix.LOCK_EX|unix.LOCK_NB)
}

// TakeTurn blocks until a message can be written, and returns with the lock held
// that [Writer.Lock] takes: of several Writers that wait for room, one at a time
// has it. The waiting is done without the lock. It fails like Lock, and with
// [unix.EPIPE] when no process reads the FIFO; then the lock is not held.
func (w *Writer) TakeTurn() error {
	for {
		if err := w.Await(); err != nil {
			return err
		}
		if err := w.Lock(); err != nil {
			return err
		}
		// Another Writer may have been faster, so look again, under the lock.
		room, err := w.Ready()
		if room {
			return nil
		}
		w.Unlock()
		if err != nil {
			return err
		}
	}
}

// Unlock gives back what Lock, TryLock or TakeTurn took.
func (w *Writer) Unlock() {
	if w.wake.Enter() != nil {
		return // closed, and the lock gone with the descriptor
	}
	defer w.wake.Leave()
	_ = flock(w.fd, unix.LOCK_UN) // which has nothing to fail with
}

// awaitLock sleeps in flock(2) in a thread of its own, which poll(2) can
// neither wait for nor end: a pipe's end of file says that the lock has come.
// When the wait is given up, the thread stays until the lock does come, and
// gives it back at once.
func (w *Writer) awaitLock() error {
	// The lock belongs to the open file description, so either descriptor
	// will do; w.fd can be closed while the thread still sleeps.
	fd, err := unix.FcntlInt(uintptr(w.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
	}
	var done [2]int
	if err := unix.Pipe2(done[:], unix.O_CLOEXEC); err != nil {
		closeFD(fd)
		return os.NewSyscallError("pipe2", err)
	}
	defer closeFD(done[0])
	locked := make(chan error, 1)
	go func() {
		locked <- flock(fd, unix.LOCK_EX)
		closeFD(done[1])
	}()
	set := [2]unix.PollFd{1: {Fd: int32(done[0])}}
	if err := w.wake.Poll(set[:], -1); err != nil {
		go func() {
			if <-locked == nil {
				_ = flock(fd, unix.LOCK_UN)
			}
			closeFD(fd)
		}()
		return err
	}
	closeFD(fd)
	return <-locked
}

func flock(fd, how int) error {
	_, err := retry(func() (int, error) { return 0, unix.Flock(fd, how) })
	return os.NewSyscallError("flock", err)
}
