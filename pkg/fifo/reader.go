package fifo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/internal/wake"
	"example.com/ipcsuite/pkg/pipe"
)

// Atomic is PIPE_BUF, in bytes: the longest message, and the shortest buffer
// to read one into.
const Atomic = pipe.Atomic

// Reader is a read end of a FIFO. It is safe for use by several goroutines at
// once; each message goes to one of them. Several processes that read one FIFO
// do better with [SharedReader].
type Reader struct {
	path string
	fd   int // non-blocking
	wake *wake.Waker
}

// OpenReader opens the FIFO at path for reading and blocks, as open(2) does,
// until a writer has it open too; one that came and left meanwhile is enough.
// ctx ends that wait, and later the waits of Read and Await, with
// [context.Cause].
//
// The error matches [unix.ENOENT] where nothing is at path, and [ErrNotFIFO].
//
// Sources: fifo(7), open(2), inotify(7), tee(2).
func OpenReader(ctx context.Context, path string) (*Reader, error) {
	fd, _, err := openChecked(unix.AT_FDCWD, path, unix.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("open FIFO %s for reading: %w", path, err)
	}
	return newReader(ctx, path, fd)
}

// OpenReader returns a Reader on the FIFO, whatever its path names by now, and
// blocks like the function of that name until a writer has the FIFO open. It
// does not wait if there has been one, or after [FIFO.KeepOpen].
func (f *FIFO) OpenReader(ctx context.Context) (*Reader, error) {
	fd, err := unix.FcntlInt(uintptr(f.hold), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open FIFO %s for reading: %w", f.path, os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err))
	}
	return newReader(ctx, f.path, fd)
}

func newReader(ctx context.Context, path string, fd int) (*Reader, error) {
	w, err := wake.New(ctx)
	if err != nil {
		closeFD(fd)
		return nil, fmt.Errorf("open FIFO %s for reading: %w", path, err)
	}
	r := &Reader{path: path, fd: fd, wake: w}
	if err := r.awaitWriter(); err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("open FIFO %s for reading: %w", path, err)
	}
	return r, nil
}

// Read returns the next message, in p from the start, and blocks until there
// is one. Only then is the context looked at that the FIFO was opened with, so that
// what is left can be read when it is done. Read fails with [io.EOF] once every
// writer has closed and all has been read; a writer that comes later makes it work
// again.
//
// p must hold [Atomic] bytes or more (otherwise [unix.EINVAL]): of a packet
// that is longer than the buffer the kernel throws the rest away (pipe(2),
// O_DIRECT). What a writer without packet mode has written comes as a stream: one
// Read can return several of its writes, and the packet that follows them. It can
// be two packets, as the kernel puts a short one into the last page of the stream,
// where its end is not marked. Where there are such writers, p should hold as much
// as the pipe and Atomic bytes more: then nothing is thrown away.
//
// Read does not allocate.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) < Atomic {
		return 0, fmt.Errorf("read FIFO %s: buffer of %d bytes, want at least %d: %w", r.path, len(p), Atomic, unix.EINVAL)
	}
	if err := r.wake.Enter(); err != nil {
		return 0, fmt.Errorf("read FIFO %s: %w", r.path, err)
	}
	defer r.wake.Leave()
	for {
		n, err := unix.Read(r.fd, p)
		switch {
		case n > 0:
			return n, nil
		case err == nil:
			return 0, io.EOF
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EAGAIN):
			return 0, fmt.Errorf("read FIFO %s: %w", r.path, os.NewSyscallError("read", err))
		}
		if err := r.await(); err != nil {
			return 0, fmt.Errorf("read FIFO %s: %w", r.path, err)
		}
	}
}

// Await blocks until something can be read, and fails with [io.EOF] when
// instead every writer has closed. Nothing is taken from the FIFO.
func (r *Reader) Await() error {
	if err := r.wake.Enter(); err != nil {
		return fmt.Errorf("await FIFO %s: %w", r.path, err)
	}
	defer r.wake.Leave()
	err := r.await()
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("await FIFO %s: %w", r.path, err)
	}
	return err
}

// SetSpin sets how long a wait looks at the FIFO before it sleeps: 0 for not at
// all, which costs less where the other side takes long. It is 50 µs at first. Any
// goroutine may call it, for the waits that begin after it.
func (r *Reader) SetSpin(d time.Duration) { r.wake.SetSpin(d) }

func (r *Reader) await() error {
	set := [2]unix.PollFd{1: {Fd: int32(r.fd), Events: unix.POLLIN}}
	if err := r.wake.Await(set[:]); err != nil {
		return err
	}
	if set[1].Revents&unix.POLLIN == 0 { // so it is POLLHUP, alone
		return io.EOF
	}
	return nil
}

// Pending returns how many bytes have been written and not read (FIONREAD).
func (r *Reader) Pending() (int, error) {
	if err := r.wake.Enter(); err != nil {
		return 0, fmt.Errorf("count bytes in FIFO %s: %w", r.path, err)
	}
	defer r.wake.Leave()
	n, err := pipe.Buffered(r.fd)
	if err != nil {
		return 0, fmt.Errorf("count bytes in FIFO %s: %w", r.path, err)
	}
	return n, nil
}

// Close closes the read end, and ends a Read or Await under way with
// [os.ErrClosed]. A second Close does nothing.
func (r *Reader) Close() error {
	if r.wake.Close() {
		closeFD(r.fd)
	}
	return nil
}

// awaitWriter blocks until a writer has the FIFO open, or had it since the
// read end was opened.
//
// The read end is open already, with O_NONBLOCK: a blocked open(2) nothing but
// a writer could end. But poll(2) does not tell that a writer has come, only
// that it has written or left: inotify(7) tells that somebody has opened the
// FIFO, and writerPresent whether it was a writer.
func (r *Reader) awaitWriter() error {
	var scratch [2]int
	if err := unix.Pipe2(scratch[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return os.NewSyscallError("pipe2", err)
	}
	defer closeFD(scratch[0])
	defer closeFD(scratch[1])
	// Inotify instances are few, and to close one takes the kernel milliseconds.
	if present, err := writerPresent(r.fd, scratch[1]); present || err != nil {
		return err
	}
	watch, err := newInotify()
	if err != nil {
		return err
	}
	defer closeFD(watch)
	if _, err := unix.InotifyAddWatch(watch, r.name(), unix.IN_OPEN); err != nil {
		return os.NewSyscallError("inotify_add_watch", err)
	}
	var events [4096]byte
	for {
		present, err := writerPresent(r.fd, scratch[1])
		if present || err != nil {
			return err
		}
		set := [3]unix.PollFd{
			1: {Fd: int32(r.fd), Events: unix.POLLIN},
			2: {Fd: int32(watch), Events: unix.POLLIN},
		}
		if err := r.wake.Poll(set[:], -1); err != nil {
			return err
		}
		if set[1].Revents != 0 {
			return nil // it has written, or come and gone
		}
		// What was opened, and how often, does not matter.
		_, _ = unix.Read(watch, events[:])
	}
}

// name is a path of the very inode, where /proc is mounted.
func (r *Reader) name() string {
	name := procName(r.fd)
	if _, err := os.Lstat(name); err != nil {
		return r.path
	}
	return name
}

func procName(fd int) string { return filepath.Join("/proc/self/fd", fmt.Sprint(fd)) }

// writerPresent asks with tee(2), which takes nothing from the FIFO: it copies
// what there is, and of an empty FIFO it says EAGAIN while there is a writer
// and end of file while there is none.
func writerPresent(fd, scratch int) (bool, error) {
	n, err := unix.Tee(fd, scratch, 1, unix.SPLICE_F_NONBLOCK)
	switch {
	// On 32 bits, package unix takes the upper half of n from a register in which
	// the kernel has returned nothing.
	case int32(n) > 0, errors.Is(err, unix.EAGAIN):
		return true, nil
	case err != nil:
		return false, os.NewSyscallError("tee", err)
	}
	return false, nil
}
