package grace

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// lastWords is how long after a signal a file may take nothing.
const lastWords = 50 * time.Millisecond

// Write writes text to out, for as long as that takes. When ctx is done and out takes
// nothing more, it leaves the write behind, and reports so with the cause of ctx.
func Write(ctx context.Context, out *os.File, text []byte) (left bool, err error) {
	stuck, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() {
		if !takes(out) { // else the write ends by itself, however late
			cancel(context.Cause(ctx))
		}
	})()
	var work Work
	dst, text := work.Writer(out), bytes.Clone(text) // the caller uses its own again
	return work.Run(stuck, 0, func() error {
		_, err := dst.Write(text)
		return err
	})
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

// Lines returns a writer to out that writes as [Write] does. After a line that was left
// behind it drops the others. It never fails, and is safe for concurrent use.
func Lines(ctx context.Context, out *os.File) io.Writer { return &lines{ctx: ctx, out: out} }

type lines struct {
	ctx context.Context
	out *os.File

	mu   sync.Mutex
	left bool
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.left {
		l.left, _ = Write(l.ctx, l.out, line) // stderr is the last that could be told
	}
	return len(line), nil
}
