package command

import (
	"bytes"
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lastWords is how long a file may take nothing when the process is told to end.
const lastWords = 50 * time.Millisecond

// Write writes text for as long as that takes, until ctx is done: out may be a pipe
// that is full and that nobody reads, and what is to be cleaned up must not wait for
// it. The write cannot be called off. It is then left to itself.
func Write(ctx context.Context, out *os.File, text []byte) (left bool, err error) {
	done := make(chan error, 1)
	go func(text []byte) { // a copy, as the caller uses its own again
		_, err := out.Write(text)
		done <- err
	}(bytes.Clone(text))
	select {
	case err := <-done:
		return false, err
	case <-ctx.Done():
	}
	if takes(out) { // and then the write ends by itself, however late
		return false, <-done
	}
	select {
	case err := <-done:
		return false, err
	default:
		return true, nil
	}
}

// takes reports whether a file takes more within lastWords.
func takes(f *os.File) bool {
	set := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLOUT}}
	for {
		n, err := unix.Poll(set, int(lastWords.Milliseconds()))
		if !errors.Is(err, unix.EINTR) {
			return n > 0 || err != nil
		}
	}
}
