package ipctest

import (
	"context"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/sysv"
)

// Mkfifo leaves a FIFO at path that nobody serves.
func Mkfifo(tb testing.TB, path string) {
	tb.Helper()
	Must(tb, unix.Mkfifo(path, 0o600))
}

// Open opens path as a program without this module would.
func Open(tb testing.TB, path string, flags int) (fd int) {
	tb.Helper()
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		tb.Fatalf("open %s: %v", path, err)
	}
	tb.Cleanup(func() { unix.Close(fd) })
	return fd
}

// Write is one write(2), which must take all of text.
func Write(tb testing.TB, fd int, text string) {
	tb.Helper()
	if n, err := unix.Write(fd, []byte(text)); n != len(text) || err != nil {
		tb.Fatalf("write of %d bytes: %d, %v", len(text), n, err)
	}
}

// FIFO makes a FIFO that is removed when the test ends.
func FIFO(tb testing.TB, path string) *fifo.FIFO {
	tb.Helper()
	f, err := fifo.Create(context.Background(), path, fifo.Options{})
	Must(tb, err)
	tb.Cleanup(func() { _ = f.Remove() }) // some tests have done so
	return f
}

// Reader opens a FIFO for reading, once a writer is there.
func Reader(tb testing.TB, f *fifo.FIFO) *fifo.Reader {
	tb.Helper()
	r, err := f.OpenReader(context.Background())
	Must(tb, err)
	tb.Cleanup(func() { _ = r.Close() })
	return r
}

// Writer opens the FIFO at path for writing. A reader must be there.
func Writer(tb testing.TB, path string) *fifo.Writer {
	tb.Helper()
	w, err := fifo.OpenWriter(context.Background(), path, fifo.NoWait)
	Must(tb, err)
	tb.Cleanup(func() { _ = w.Close() })
	return w
}

// Segment makes a segment, not attached yet, that is gone when the test ends.
func Segment(tb testing.TB, size int) *sysv.Segment {
	tb.Helper()
	s, err := sysv.Create(sysv.Private, size, 0o600)
	Must(tb, err)
	tb.Cleanup(func() { _, _ = s.Remove(), s.Detach() }) // some tests have done either
	return s
}

// OpenSegment is for a role: it attaches the segment whose id it has been told.
func OpenSegment(id string) (*sysv.Segment, error) {
	n, err := strconv.Atoi(id)
	if err != nil {
		return nil, err
	}
	s, err := sysv.OpenID(n)
	if err != nil {
		return nil, err
	}
	return s, s.Attach()
}

// SameDescription reports whether the descriptor fd of this process and theirs of
// another, or of this one too, have one open file description (kcmp(2)).
func SameDescription(tb testing.TB, fd, pid, theirs int) bool {
	tb.Helper()
	const kcmpFile = 0 // KCMP_FILE, <linux/kcmp.h>
	order, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(os.Getpid()), uintptr(pid),
		kcmpFile, uintptr(fd), uintptr(theirs), 0)
	if errno != 0 {
		tb.Skipf("NOT TESTED: kcmp: %v", errno) // needs CONFIG_KCMP, and ptrace(2) access
	}
	return order == 0
}
