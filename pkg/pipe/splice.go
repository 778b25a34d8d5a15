package pipe

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Splice moves up to n bytes from the descriptor src to dst without taking them
// through user space (splice(2)), and returns how many it moved. One of the two must
// be a pipe. Where pages can be handed over, no byte is copied.
//
// It returns 0 at end of file: a pipe without writers and with nothing left in it,
// a file at its end. It blocks while a pipe at src is empty, or a pipe at dst is
// full, and moves what there is after that. Closing the other end of that pipe ends
// the wait. If that pipe is non-blocking, the error is EAGAIN instead. Interruption
// by a signal (EINTR) is not reported but tried again.
//
// Packets stay packets from pipe to pipe, and become a stream elsewhere; a packet
// of more than n bytes is divided, not cut short as by read(2).
//
// The error is EINVAL when n is not positive, neither is a pipe, both are the same
// pipe, dst is open for appending, or one is a file of a kind that cannot be spliced,
// as a folder and most files in /proc; EPIPE when nobody reads dst; EBADF when src is
// not open for reading or dst not for writing.
func Splice(dst, src, n int) (int, error) {
	if n <= 0 {
		// The kernel would return 0, which looks like end of file.
		return 0, fmt.Errorf("pipe: splice of %d bytes: %w: ask for at least one", n, unix.EINVAL)
	}
	for {
		moved, err := unix.Splice(src, nil, dst, nil, n, 0)
		switch {
		case err == nil:
			return int(moved), nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EINVAL):
			return 0, fmt.Errorf("pipe: splice from descriptor %d to %d: %w: one must be a pipe, not both the same one, and the target not open for appending; some kinds of files, as most in /proc, cannot be spliced at all: read(2) and write(2) them", src, dst, err)
		default:
			return 0, fmt.Errorf("pipe: splice from descriptor %d to %d: %w", src, dst, err)
		}
	}
}
