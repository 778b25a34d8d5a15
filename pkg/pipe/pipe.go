package pipe

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// New creates a pipe with pipe2(2). Both ends are close-on-exec. The flags are
// unix.O_DIRECT for a write end in packet mode and unix.O_NONBLOCK for both ends,
// or 0.
//
// Unlike those of [os.Pipe], the ends are in blocking mode unless O_NONBLOCK is
// asked for: a read or write that has to wait occupies a thread, which the kernel
// wakes directly. A round trip between two processes takes a quarter to six tenths
// of what it takes through the runtime's poller (BenchmarkRoundTrip). The price is
// that neither Close nor a deadline interrupts a wait; closing the other end does.
// With O_NONBLOCK the files wait in the poller and can be interrupted.
//
// The error is EINVAL for another flag, EMFILE when the process has no descriptor
// left, and ENFILE when the system has none, or when the user's pipes have reached
// /proc/sys/fs/pipe-user-pages-hard.
func New(flags int) (r, w *os.File, err error) {
	if flags&^(unix.O_DIRECT|unix.O_NONBLOCK) != 0 {
		return nil, nil, fmt.Errorf("pipe: pipe2 with flags %#x: %w: use unix.O_DIRECT, unix.O_NONBLOCK, both, or 0", flags, unix.EINVAL)
	}
	var fd [2]int
	if err := unix.Pipe2(fd[:], flags|unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("pipe: %w", os.NewSyscallError("pipe2", err))
	}
	return os.NewFile(uintptr(fd[0]), "|0"), os.NewFile(uintptr(fd[1]), "|1"), nil
}

// Capacity returns the capacity of a pipe in bytes, from either end
// (F_GETPIPE_SZ, fcntl(2)). Divided by the page size it is the number of packets
// that fit.
//
// It is 65536 by default on machines with pages of 4096 bytes, and less for a user
// whose pipes have reached /proc/sys/fs/pipe-user-pages-soft. The error is EBADF
// when the descriptor is closed or not that of a pipe.
func Capacity(fd int) (int, error) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		return 0, fmt.Errorf("pipe: fcntl(%d, F_GETPIPE_SZ): %w%s", fd, err, explain(err, 0))
	}
	return n, nil
}

// SetCapacity asks for a capacity of at least bytes, from either end
// (F_SETPIPE_SZ, fcntl(2)), and returns what the kernel made of it: the next power
// of two that is at least a page. What is in the pipe stays there, and a writer
// that waits for room is woken.
//
// The error is EBUSY when the pipe now uses more slots than it would have, EPERM
// when a limit on the user's pipes is in the way (pipe(7), /proc files), EINVAL
// when bytes is not from 1 to 1<<31, and EBADF when the descriptor is closed or not
// that of a pipe.
func SetCapacity(fd, bytes int) (int, error) {
	var n int
	err := error(unix.EINVAL)
	// fcntl takes an int, and would see a larger number without its upper bits.
	if bytes > 0 && int64(bytes) <= 1<<31 {
		n, err = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, bytes)
	}
	if err != nil {
		return 0, fmt.Errorf("pipe: fcntl(%d, F_SETPIPE_SZ, %d): %w%s", fd, bytes, err, explain(err, bytes))
	}
	return n, nil
}

// Buffered returns the number of bytes in a pipe that have not been read, from
// either end (FIONREAD, pipe(7)). It counts across packets: it is not the size of
// the next one. The error is EBADF when the descriptor is closed; whether it is that
// of a pipe is not checked.
func Buffered(fd int) (int, error) {
	// The kernel stores a C int, which is 32 bits on all architectures.
	n, err := unix.IoctlGetUint32(fd, unix.TIOCINQ) // FIONREAD by its other name
	if err != nil {
		return 0, fmt.Errorf("pipe: ioctl(%d, FIONREAD): %w", fd, err)
	}
	return int(n), nil
}

// explain says what an error of F_SETPIPE_SZ or F_GETPIPE_SZ means and what to do.
func explain(err error, bytes int) string {
	const maxSize = "/proc/sys/fs/pipe-max-size"
	switch {
	case errors.Is(err, unix.EBADF):
		return ": the descriptor is closed, or not that of a pipe or FIFO"
	case errors.Is(err, unix.EINVAL):
		return ": ask for 1 to 1<<31 bytes"
	case errors.Is(err, unix.EBUSY):
		return ": what is in the pipe takes more slots than that (a page or a packet each): read some first"
	case errors.Is(err, unix.EPERM):
		text, _ := os.ReadFile(maxSize)
		if limit, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && bytes > limit {
			return fmt.Sprintf(": %s is %d: ask for no more, or raise it, or run with CAP_SYS_RESOURCE", maxSize, limit)
		}
		return ": the user's pipes would take more pages than /proc/sys/fs/pipe-user-pages-soft (or -hard): ask for less, close some, or run with CAP_SYS_RESOURCE"
	}
	return ""
}
