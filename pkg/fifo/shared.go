package fifo

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/pipe"
)

// ErrStopped is what a [SharedReader] returns after [FIFO.StopReaders] or
// [SharedReader.StopOne].
var ErrStopped = errors.New("readers stopped")

// mark is what StopReaders writes: the first bytes of a packet of Atomic bytes,
// drawn at random for each FIFO. A packet of that size is a page of its own in
// the pipe, which the kernel never joins to what a stream writer has left.
type mark [16]byte

// cut returns what stands before the mark, if text ends with its packet. In a
// stream, what another writer has left can stand before it.
func (m mark) cut(text []byte) (before []byte, found bool) {
	if end := len(text) - Atomic; end >= 0 && mark(text[end:end+len(m)]) == m {
		return text[:end], true
	}
	return text, false
}

// KeepOpen holds a write end too, so that readers do not see the end of file
// when the last writer closes: the FIFO then serves one client after another.
func (f *FIFO) KeepOpen() error {
	if f.keep >= 0 {
		return nil
	}
	fd, err := f.reopen(unix.O_WRONLY)
	if err != nil {
		return fmt.Errorf("keep FIFO %s open: %w", f.path, err)
	}
	f.keep = fd
	return nil
}

// SetCapacity makes room for bytes in the pipe (fcntl(2), F_SETPIPE_SZ) and
// returns what the kernel granted: that or more, a power of two and a page at
// least. It fails with [unix.EPERM] above /proc/sys/fs/pipe-max-size or the
// user's share of pipe memory (pipe(7)), and with [unix.EBUSY] if more is in the
// pipe. Readers are to be made after it, see [NewSharedReader].
func (f *FIFO) SetCapacity(bytes int) (int, error) { return setCapacity(f.hold, f.path, bytes) }

// Capacity returns the capacity of the pipe in bytes.
func (f *FIFO) Capacity() (int, error) {
	n, err := pipe.Capacity(f.hold)
	if err != nil {
		return 0, fmt.Errorf("capacity of FIFO %s: %w", f.path, err)
	}
	return n, nil
}

// Shared returns a read end for child processes to inherit, so that all have one
// open file description, and a word that each needs for [NewSharedReader]: hand it
// on as an argument. The caller closes file, once the children have been started.
func (f *FIFO) Shared() (file *os.File, word string, err error) {
	fd, err := f.reopen(unix.O_RDONLY)
	if err != nil {
		return nil, "", fmt.Errorf("share FIFO %s: %w", f.path, err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		closeFD(fd)
		return nil, "", fmt.Errorf("share FIFO %s: %w", f.path, os.NewSyscallError("fcntl F_SETFL", err))
	}
	return os.NewFile(uintptr(fd), f.path), f.word(), nil
}

// word returns what a SharedReader has to know: the mark, and the path for its errors.
func (f *FIFO) word() string { return hex.EncodeToString(append(f.mark[:], f.path...)) }

func parseWord(word string) (m mark, path string, ok bool) {
	text, err := hex.DecodeString(word)
	if err != nil || len(text) < len(m) {
		return m, "", false
	}
	path = string(text[len(m):])
	return mark(text[:len(m)]), path, path != "" && !strings.Contains(path, "\x00")
}

// StopReaders makes n SharedReaders return [ErrStopped], each after it has
// read what was in the FIFO before. It blocks while the FIFO is full; ctx ends
// that. What is written meanwhile or later stays in the FIFO.
func (f *FIFO) StopReaders(ctx context.Context, n int) error {
	fd, err := f.reopen(unix.O_WRONLY)
	if err == nil {
		err = f.mark.write(ctx, f.path, fd, n)
	}
	if err != nil {
		return fmt.Errorf("stop readers of FIFO %s: %w", f.path, err)
	}
	return nil
}

// write writes n packets with the mark to the write end fd, and closes it.
func (m mark) write(ctx context.Context, path string, fd, n int) error {
	w, err := newWriter(ctx, path, fd)
	if err != nil {
		return err
	}
	defer w.Close() //nolint:errcheck // never fails
	var packet [Atomic]byte
	copy(packet[:], m[:])
	for range n {
		if _, err := w.Write(packet[:]); err != nil {
			return err
		}
	}
	return nil
}

// reopen opens the FIFO that f holds once more: through /proc, which leads to
// the inode whatever the path names by now, or by its name where that still
// names the inode.
func (f *FIFO) reopen(access int) (int, error) {
	if f.hold < 0 {
		return -1, os.ErrClosed
	}
	fd, err := retry(func() (int, error) {
		return unix.Open(procName(f.hold), access|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if !errors.Is(err, unix.ENOENT) {
		return fd, os.NewSyscallError("open", err)
	}
	fd, st, err := openChecked(f.folder, nameOf(f.path), access)
	if err == nil && identityOf(st) != f.id {
		closeFD(fd)
		return -1, fmt.Errorf("the path names another FIFO by now: %w", unix.ENOENT)
	}
	return fd, err
}

// SharedReader reads messages from a FIFO together with other processes, all
// through one inherited open file description.
//
// It sleeps in read(2), where a message wakes one process: of those that sleep
// in poll(2), as [Reader] does, each message wakes all. The price is that
// nothing wakes it but a message, the end of file or [FIFO.StopReaders]. To
// take what is there without sleeping it opens the FIFO a second time, for
// itself and non-blocking, where /proc is mounted.
//
// A SharedReader is not safe for use by several goroutines at once, but for
// [SharedReader.StopOne]. Next and TryNext do not allocate.
type SharedReader struct {
	path      string // for errors
	inherited int
	own       int // non-blocking, or -1
	mark      mark
	stopped   bool
	buf       []byte
}

// NewSharedReader returns a reader on the inherited descriptor fd. word is
// what [FIFO.Shared] returned to the parent. Its buffer is as large as the pipe
// is then, and a message more.
func NewSharedReader(fd int, word string) (*SharedReader, error) {
	m, path, ok := parseWord(word)
	if !ok {
		return nil, fmt.Errorf("share FIFO: the word %q is none of FIFO.Shared: %w", word, unix.EINVAL)
	}
	r := &SharedReader{path: path, inherited: fd, mark: m}
	capacity, err := pipe.Capacity(fd)
	if err != nil {
		return nil, fmt.Errorf("share FIFO %s: %w", path, err)
	}
	// Large enough that the mark, behind all that a stream writer can have
	// put before it, is read whole. Memory is taken as it is touched.
	r.buf = make([]byte, capacity+Atomic)
	r.own, err = retry(func() (int, error) {
		return unix.Open(procName(fd), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		r.own = -1
	}
	return r, nil
}

// SetBuffer makes r read into buf, which must not be shorter than the buffer it
// replaces, the pipe's capacity and [Atomic] bytes more; otherwise it fails with
// [unix.EINVAL]. In memory that another process has mapped too, buf shows there
// what this one has read, also when it is killed before it can tell.
func (r *SharedReader) SetBuffer(buf []byte) error {
	if len(buf) < len(r.buf) {
		return fmt.Errorf("share FIFO %s: buffer of %d bytes, want at least %d: %w", r.path, len(buf), len(r.buf), unix.EINVAL)
	}
	r.buf = buf
	return nil
}

// StopOne is [FIFO.StopReaders] for one reader, r or one that shares the FIFO
// with it, when the process that made the FIFO is not there to do it. It may be
// called while Next or TryNext is under way. It takes /proc.
func (r *SharedReader) StopOne(ctx context.Context) error {
	if r.inherited < 0 {
		return fmt.Errorf("stop a reader of FIFO %s: %w", r.path, os.ErrClosed)
	}
	fd, err := retry(func() (int, error) {
		return unix.Open(procName(r.inherited), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err == nil {
		err = r.mark.write(ctx, r.path, fd, 1)
	} else {
		err = os.NewSyscallError("open", err)
	}
	if err != nil {
		return fmt.Errorf("stop a reader of FIFO %s: %w", r.path, err)
	}
	return nil
}

// Close closes the descriptors. No other method may be under way, as a Next would not
// end by it. Afterwards they fail with [os.ErrClosed], and a second Close does nothing.
func (r *SharedReader) Close() {
	for _, fd := range []*int{&r.inherited, &r.own} {
		if *fd >= 0 {
			closeFD(*fd)
			*fd = -1
		}
	}
}

// Next returns the next message, valid until the next call, and blocks until
// there is one. It fails with [io.EOF] when every writer has closed and all is
// read, and with [ErrStopped].
func (r *SharedReader) Next() ([]byte, error) {
	if r.inherited < 0 {
		return nil, r.closed()
	}
	return r.read(r.inherited)
}

// TryNext is Next without blocking: it fails with [unix.EAGAIN] when there is
// no message now.
func (r *SharedReader) TryNext() ([]byte, error) {
	switch {
	case r.inherited < 0:
		return nil, r.closed()
	case r.own < 0 && !r.stopped:
		return nil, unix.EAGAIN
	}
	return r.read(r.own)
}

func (r *SharedReader) closed() error { return fmt.Errorf("read FIFO %s: %w", r.path, os.ErrClosed) }

func (r *SharedReader) read(fd int) ([]byte, error) {
	if r.stopped {
		return nil, ErrStopped
	}
	n, err := retry(func() (int, error) { return unix.Read(fd, r.buf) })
	switch {
	case errors.Is(err, unix.EAGAIN):
		return nil, unix.EAGAIN
	case err != nil:
		return nil, fmt.Errorf("read FIFO %s: %w", r.path, os.NewSyscallError("read", err))
	case n == 0:
		return nil, io.EOF
	}
	text, marked := r.mark.cut(r.buf[:n])
	if marked {
		r.stopped = true
		if len(text) == 0 {
			return nil, ErrStopped
		}
	}
	return text, nil
}
