package fifo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/internal/wake"
	"example.com/ipcsuite/pkg/pipe"
)

// Wait says what [OpenWriter] waits for.
type Wait int

const (
	// NoWait fails with [unix.ENXIO] where no process reads the FIFO.
	NoWait Wait = iota
	// WaitReader blocks until a process reads it, as open(2) does.
	WaitReader
	// WaitPath blocks also until there is a FIFO at the path.
	WaitPath
)

// Writer is a write end of a FIFO in packet mode. It is safe for use by
// several goroutines at once.
type Writer struct {
	path string
	fd   int // non-blocking, O_DIRECT
	wake *wake.Waker
	// write is write(2), or rawWrite.
	write func(fd int, p []byte) (int, error)

	// mu makes the order of sizes that of the messages in the pipe.
	mu sync.Mutex
	// sizes holds the lengths of the latest messages: of all that are unread,
	// and of some before them.
	sizes []uint16
}

// OpenWriter opens the FIFO at path for writing packets. ctx ends the wait for
// a reader, and later the waits of Write and Await, with [context.Cause].
//
// The error matches [unix.ENOENT] where nothing is at path, or its folder is not
// there (any more); [unix.ENXIO] where no process reads the FIFO; [ErrNotFIFO].
// To wait, the folder must be readable. A wait takes its flock(2) for a moment, as
// Create does; where another program keeps that, it is seconds longer, if ctx does not
// end it.
//
// A wait that is given up has to free the thread that open(2) has blocked, and
// does so by opening a read end for a moment: other processes that wait in
// open(2) on the same FIFO are let go with it. Those of this package notice, and
// wait on.
//
// Sources: fifo(7), open(2), fcntl(2) on O_DIRECT, pipe(2).
func OpenWriter(ctx context.Context, path string, wait Wait) (*Writer, error) {
	w, err := openWriter(ctx, path, wait)
	if err != nil {
		return nil, fmt.Errorf("open FIFO %s for writing: %w", path, err)
	}
	return w, nil
}

func openWriter(ctx context.Context, path string, wait Wait) (*Writer, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	fd, _, err := openChecked(unix.AT_FDCWD, path, unix.O_WRONLY)
	if err == nil && wait != NoWait {
		err = mustHaveReader(ctx, path, fd)
	}
	if wait != NoWait && errors.Is(err, unix.ENXIO) || wait == WaitPath && errors.Is(err, unix.ENOENT) {
		fd, err = awaitReader(ctx, path, wait)
	}
	if err != nil {
		return nil, err
	}
	return newWriter(ctx, path, fd)
}

// newWriter takes over fd, also when it fails. open(2) refuses O_DIRECT for a
// FIFO; fcntl(2) takes it since Linux 4.5.
func newWriter(ctx context.Context, path string, fd int) (*Writer, error) {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_NONBLOCK|unix.O_DIRECT); err != nil {
		closeFD(fd)
		return nil, os.NewSyscallError("fcntl F_SETFL O_DIRECT", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		closeFD(fd)
		return nil, os.NewSyscallError("fstat", err)
	}
	wk, err := wake.New(ctx)
	if err != nil {
		closeFD(fd)
		return nil, err
	}
	write := unix.Write
	if isPrivate(&st) {
		write = rawWrite
	}
	// As many as the largest pipe of an unprivileged user has slots, twice.
	return &Writer{path: path, fd: fd, wake: wk, write: write, sizes: make([]uint16, 0, 512)}, nil
}

// Write sends p as one message, which one Read returns whole, and blocks while
// the FIFO is full. Only then is the context looked at that the FIFO was opened
// with. It fails with [unix.EMSGSIZE] if p is longer than [Atomic] bytes, with
// [unix.EINVAL] if it is empty, which a pipe cannot carry, and with [unix.EPIPE]
// when no process reads the FIFO any more: then [Writer.Unread] tells what of the
// messages before was lost. Either all of p is written or nothing.
//
// Write does not allocate.
func (w *Writer) Write(p []byte) (int, error) {
	switch {
	case len(p) == 0:
		return 0, fmt.Errorf("write FIFO %s: empty message: %w", w.path, unix.EINVAL)
	case len(p) > Atomic:
		return 0, fmt.Errorf("write FIFO %s: message of %d bytes, at most %d: %w", w.path, len(p), Atomic, unix.EMSGSIZE)
	}
	if err := w.wake.Enter(); err != nil {
		return 0, fmt.Errorf("write FIFO %s: %w", w.path, err)
	}
	defer w.wake.Leave()
	// Where there was room, and another writer was first, looking again would only
	// keep the processor from those who can go on.
	for look := true; ; look = false {
		err := w.tryWrite(p)
		switch {
		case err == nil:
			return len(p), nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EAGAIN):
			return 0, fmt.Errorf("write FIFO %s: %w", w.path, os.NewSyscallError("write", err))
		}
		if err := w.await(look); err != nil {
			return 0, fmt.Errorf("write FIFO %s: %w", w.path, err)
		}
	}
}

func (w *Writer) tryWrite(p []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	// Up to PIPE_BUF bytes it is all or nothing (pipe(7)).
	_, err := w.write(w.fd, p)
	if err == nil {
		w.note(len(p))
	}
	return err
}

// Await blocks until a message can be written, and fails with [unix.EPIPE]
// when no process reads the FIFO.
func (w *Writer) Await() error {
	if err := w.wake.Enter(); err != nil {
		return fmt.Errorf("await FIFO %s: %w", w.path, err)
	}
	defer w.wake.Leave()
	if err := w.await(true); err != nil {
		return fmt.Errorf("await FIFO %s: %w", w.path, err)
	}
	return nil
}

// SetSpin sets how long a wait looks at the FIFO before it sleeps: 0 for not at
// all, which costs less where the other side takes long. It is 50 µs at first. Any
// goroutine may call it, for the waits that begin after it.
func (w *Writer) SetSpin(d time.Duration) { w.wake.SetSpin(d) }

// await looks for a while before it sleeps, or sleeps at once. (A method of wake as
// its parameter would put set on the heap.)
func (w *Writer) await(look bool) (err error) {
	set := [2]unix.PollFd{1: {Fd: int32(w.fd), Events: unix.POLLOUT}}
	if look {
		err = w.wake.Await(set[:])
	} else {
		err = w.wake.Poll(set[:], -1)
	}
	if err != nil {
		return err
	}
	if set[1].Revents&unix.POLLERR != 0 {
		return unix.EPIPE
	}
	return nil
}

// note remembers the length of a message just written. When there is no room,
// which is once in some hundred messages, it forgets those that have been read.
func (w *Writer) note(size int) {
	if len(w.sizes) == cap(w.sizes) {
		if n, err := w.unread(); err == nil {
			w.sizes = slices.Delete(w.sizes, 0, len(w.sizes)-n)
		}
		// Room for as many again, or it would be full again soon.
		w.sizes = slices.Grow(w.sizes, max(1, len(w.sizes)))
	}
	w.sizes = append(w.sizes, uint16(size))
}

// Unread returns how many of the messages of this Writer wait in the FIFO to
// be read: exactly where it is the only one, at most where there are others.
// When no process reads the FIFO any more, they are lost.
func (w *Writer) Unread() (int, error) {
	if err := w.wake.Enter(); err != nil {
		return 0, fmt.Errorf("count messages in FIFO %s: %w", w.path, err)
	}
	defer w.wake.Leave()
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.unread()
	if err != nil {
		return 0, fmt.Errorf("count messages in FIFO %s: %w", w.path, err)
	}
	return n, nil
}

func (w *Writer) unread() (n int, err error) {
	bytes, err := pipe.Buffered(w.fd)
	// First in, first out: the unread ones are the latest.
	for bytes > 0 && n < len(w.sizes) {
		n++
		bytes -= int(w.sizes[len(w.sizes)-n])
	}
	return n, err
}

// PeerGone reports whether no process reads the FIFO (any more).
func (w *Writer) PeerGone() bool {
	if w.wake.Enter() != nil {
		return true
	}
	defer w.wake.Leave()
	return !hasReader(w.fd)
}

// Close closes the write end, and ends a Write or Await under way with
// [os.ErrClosed]. A second Close does nothing.
func (w *Writer) Close() error {
	if w.wake.Close() {
		closeFD(w.fd)
	}
	return nil
}

// hasReader asks the write end fd: poll(2) says POLLERR when there is none.
func hasReader(fd int) bool {
	set := []unix.PollFd{{Fd: int32(fd)}}
	_, err := retry(func() (int, error) { return unix.Poll(set, 0) })
	return err == nil && set[0].Revents&unix.POLLERR == 0
}

var errNoProc = errors.New("to wait at a FIFO takes /proc: is it mounted?")

// errReplaced says that the path names another FIFO than the one waited at.
var errReplaced = errors.New("replaced")

// awaitReader waits for a reader in a blocked open(2). A server that is itself
// still blocked in its open is met in no other way: it raises no inotify(7)
// event before a writer has come.
func awaitReader(ctx context.Context, path string, wait Wait) (int, error) {
	watch, err := watchFolder(folderOf(path))
	if err != nil {
		return -1, err
	}
	defer watch.stop()
	for {
		if err := watch.add(); err != nil {
			return -1, err
		}
		fd, err := openBlocking(ctx, path, watch.changes)
		switch {
		case err == nil:
			err = mustHaveReader(ctx, path, fd)
			if !errors.Is(err, unix.ENXIO) {
				return fd, err
			}
		case errors.Is(err, errReplaced):
		case wait == WaitPath && errors.Is(err, unix.ENOENT):
			select {
			case <-watch.changes:
			case <-ctx.Done():
				return -1, context.Cause(ctx)
			}
		default:
			return -1, err
		}
	}
}

// mustHaveReader fails with ENXIO, and closes the write end fd, when the reader
// that let it be opened was one of giveUp. Under the folder's lock there is none
// of that kind.
func mustHaveReader(ctx context.Context, path string, fd int) error {
	folder, err := lockFolder(ctx, folderOf(path))
	if err == nil {
		defer closeFD(folder)
	}
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case hasReader(fd):
		return nil // also where the folder may not be read, or is kept locked
	default:
		err = unix.ENXIO
	}
	closeFD(fd)
	return err
}

// openBlocking opens the FIFO that path names now in a thread of its own. ctx
// and the replacement of the FIFO end the wait.
func openBlocking(ctx context.Context, path string, changes <-chan struct{}) (int, error) {
	// A handle on the inode: the blocked open and the one that frees it must
	// meet at the same FIFO, whatever becomes of the path.
	handle, err := retry(func() (int, error) {
		return unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return -1, os.NewSyscallError("open", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(handle, &st); err != nil {
		closeFD(handle)
		return -1, os.NewSyscallError("fstat", err)
	}
	if err := mustBeFIFO(&st); err != nil {
		closeFD(handle)
		return -1, err
	}

	opened := make(chan opening, 1)
	go func() {
		fd, err := retry(func() (int, error) {
			return unix.Open(procName(handle), unix.O_WRONLY|unix.O_CLOEXEC, 0)
		})
		if errors.Is(err, unix.ENOENT) { // the handle has an inode, whatever its name
			err = errNoProc
		}
		opened <- opening{fd, os.NewSyscallError("open", err)}
	}()
	for {
		select {
		case o := <-opened:
			closeFD(handle)
			return o.fd, o.err
		case <-ctx.Done():
			giveUp(ctx, path, handle, opened)
			return -1, context.Cause(ctx)
		case <-changes:
			var now unix.Stat_t
			if unix.Lstat(path, &now) != nil || identityOf(&now) != identityOf(&st) {
				giveUp(ctx, path, handle, opened)
				return -1, errReplaced
			}
		}
	}
}

// opening is how a blocking open(2) ended.
type opening struct {
	fd  int
	err error
}

// giveUp frees the thread that waits in open(2), and closes what it opened.
// Opened for both ways a FIFO does not block (fifo(7)), and is a reader until
// the thread is back, whether it had come to its open yet or not.
//
// The folder is locked meanwhile, see mustHaveReader. If it is locked already, the
// thread has to wait for that; the caller, who wants to go, has not.
func giveUp(ctx context.Context, path string, handle int, opened <-chan opening) {
	folder, err := lockFolder(ctx, folderOf(path))
	switch {
	case err == nil:
		defer closeFD(folder)
	case ctx.Err() != nil:
		go giveUp(context.WithoutCancel(ctx), path, handle, opened)
		return
	default: // the folder is gone, or kept locked: others have to look again
	}
	both, err := retry(func() (int, error) {
		return unix.Open(procName(handle), unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	cleanUp := func() {
		if o := <-opened; o.err == nil {
			closeFD(o.fd)
		}
		closeFD(handle)
	}
	if err != nil {
		go cleanUp() // without the right to read, not before a reader comes
		return
	}
	cleanUp()
	closeFD(both)
}

// folderWatch tells of names that come to a folder or leave it, and of its own
// end.
type folderWatch struct {
	dir     string
	inotify *os.File
	fd      int
	changes chan struct{}
	done    chan struct{}
}

func watchFolder(dir string) (*folderWatch, error) {
	fd, err := newInotify()
	if err != nil {
		return nil, err
	}
	w := &folderWatch{
		dir: dir,
		// Through the runtime's poller, for once: no message waits for it.
		inotify: os.NewFile(uintptr(fd), "inotify"),
		fd:      fd,
		changes: make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	go w.run()
	return w, nil
}

// add starts the watch, and starts it anew if by now another folder has the
// name. What happens to the folder after it raises a change.
func (w *folderWatch) add() error {
	const mask = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVE | unix.IN_ATTRIB |
		unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
	if _, err := unix.InotifyAddWatch(w.fd, w.dir, mask); err != nil {
		return fmt.Errorf("watch folder %s: %w", w.dir, os.NewSyscallError("inotify_add_watch", err))
	}
	return nil
}

// run sends on changes, without ever blocking, until stop.
func (w *folderWatch) run() {
	defer close(w.done)
	var buf [4096]byte
	for {
		if _, err := w.inotify.Read(buf[:]); err != nil {
			return // closed by stop
		}
		select {
		case w.changes <- struct{}{}:
		default:
		}
	}
}

func (w *folderWatch) stop() {
	_ = w.inotify.Close()
	<-w.done
}
