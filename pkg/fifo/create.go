package fifo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/pipe"
)

// FIFO is a named pipe that this process has made and serves: it holds a read
// end from the moment of creation, which is what tells everybody else that the
// FIFO is alive. A FIFO that no process reads is what a dead server left.
//
// Besides, it holds a record lock (fcntl(2), F_OFD_SETLK) as a sign that can be
// seen from any PID namespace, and looked for without opening the FIFO.
//
// A FIFO is not safe for use by several goroutines at once.
type FIFO struct {
	path     string
	id       identity
	folder   int // carries the record lock
	hold     int // a read end, non-blocking
	keep     int // a write end, or -1
	mark     mark
	replaced bool
}

// identity names an inode for as long as something keeps it open.
type identity struct{ dev, ino uint64 }

func identityOf(st *unix.Stat_t) identity { return identity{uint64(st.Dev), st.Ino} }

// Options are the choices of [Create]. The zero value is a FIFO that only its
// owner can open.
type Options struct {
	// Mode holds permission bits (0777 at most). 0 means 0600.
	Mode fs.FileMode
	// Umask applies the process's umask to Mode, as mkfifo(3) does. Without
	// it the FIFO has Mode exactly.
	Umask bool
}

// Create makes a FIFO at path and holds a read end of it. Whoever sees the FIFO
// finds it served and with its final mode: it is made in a folder of its own, whose
// name is the path's with a dot before and ".new" behind it, and moved when it is
// ready. So the name has 250 bytes at most (else [unix.ENAMETOOLONG]).
//
// What is at path already decides:
//   - nothing: the FIFO is made;
//   - a FIFO of the caller's that no process reads, left behind by a server
//     that was killed: it is replaced by a new one ([FIFO.Replaced] tells);
//     a writer that still has the old one open gets EPIPE;
//   - a FIFO that a process reads: a [*LiveError], which carries the process
//     ids and matches [unix.EADDRINUSE];
//   - a FIFO of another user: [unix.EPERM];
//   - anything else, a symbolic link included: [ErrNotFIFO], which here matches
//     [unix.EEXIST] too.
//
// At the name of the folder of its own, anything but a folder is [unix.EEXIST], and a
// folder that another user owns or can reach into [unix.EPERM].
//
// It fails with [unix.EINVAL] for a Mode that is more than permissions, and with
// [unix.EACCES] for one that does not let the owner read.
//
// Creations in one folder take turns under flock(2) on the folder, so that of
// two servers that start at once exactly one gets the FIFO. The wait for that turn
// is over in microseconds, unless another program keeps the folder locked: then
// ctx ends it, or [unix.EBUSY] after some seconds. The folder is the one to which the
// path leads when Create is called.
//
// Sources: mkfifo(3), fifo(7), open(2) on ENXIO, fcntl(2) on open file
// description locks.
func Create(ctx context.Context, path string, o Options) (*FIFO, error) {
	f, err := create(ctx, path, o)
	if err != nil {
		return nil, fmt.Errorf("create FIFO %s: %w%s", path, err, whyNotMade(err, path))
	}
	return f, nil
}

// whyNotMade says what to do where a limit of the file system or the user is the
// reason.
func whyNotMade(err error, path string) string {
	switch dir := folderOf(path); {
	case errors.Is(err, unix.ENOSPC):
		return fmt.Sprintf(": the file system has no inode or no block left (df -i %[1]s; df %[1]s): make room, or choose another folder", dir)
	case errors.Is(err, unix.EDQUOT):
		return ": the user's quota there is used up (quota(1)): make room, or choose another folder"
	case errors.Is(err, unix.EROFS):
		return ": choose a folder on another file system"
	case errors.Is(err, unix.ENOMEM):
		return ": the user has all the pages in pipes that fs.pipe-user-pages-hard allows, or the machine has no memory left: close some pipes, or raise it"
	}
	return ""
}

func create(ctx context.Context, path string, o Options) (*FIFO, error) {
	if o.Mode == 0 {
		o.Mode = 0o600
	}
	if o.Mode&^fs.ModePerm != 0 {
		return nil, fmt.Errorf("mode %v: %w: only permission bits, 0777 at most", o.Mode, unix.EINVAL)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	folder, err := lockFolder(ctx, folderOf(path))
	if err != nil {
		return nil, err
	}
	f := &FIFO{path: path, folder: folder, hold: -1, keep: -1}
	_, _ = rand.Read(f.mark[:]) // documented never to fail
	err = f.makeReady(o)
	if err == nil {
		err = flock(folder, unix.LOCK_UN) // the record lock stays
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// draftName is that of the FIFO in the draft folder.
const draftName = "fifo"

// makeReady makes the FIFO in a draft folder and then moves it to its path, so that
// no client meets one that is not served yet or has less than its mode. Nobody else
// can reach into the draft folder, and so what is opened there is what was made.
//
// All goes by the descriptor of the folder that is locked and carries the sign of
// life: by now the path may lead to another.
func (f *FIFO) makeReady(o Options) error {
	dir, _ := filepath.Split(f.path)
	name := nameOf(f.path)
	draft := "." + name + ".new"
	room, err := openDraft(f.folder, draft)
	if err != nil {
		return fmt.Errorf("%s%s: %w", dir, draft, err)
	}
	defer closeFD(room)
	defer unix.Unlinkat(f.folder, draft, unix.AT_REMOVEDIR) //nolint:errcheck // it is in nobody's way
	_ = unix.Unlinkat(room, draftName, 0)                   // left by a Create that was killed
	if err := unix.Mkfifoat(room, draftName, uint32(o.Mode)); err != nil {
		return os.NewSyscallError("mkfifo", err)
	}
	defer unix.Unlinkat(room, draftName, 0) //nolint:errcheck // after rename(2) it is gone
	if err := f.open(room, o); err != nil {
		return err
	}
	// link(2) never replaces what is at the path; rename(2) does, and without
	// a moment in which nothing is there.
	err = unix.Linkat(room, draftName, f.folder, name, 0)
	if !errors.Is(err, unix.EEXIST) {
		return os.NewSyscallError("link", err)
	}
	if err := f.mustBeStale(name); err != nil {
		return err
	}
	f.replaced = true
	return os.NewSyscallError("rename", unix.Renameat(room, draftName, f.folder, name))
}

// openDraft makes the draft folder, or takes that of a Create that was killed:
// nobody else is at it, the folder around it is locked. What others may have put
// there is checked, not trusted.
func openDraft(folder int, draft string) (room int, err error) {
	err = unix.Mkdirat(folder, draft, 0o700)
	made := err == nil
	if !made && !errors.Is(err, unix.EEXIST) {
		return -1, os.NewSyscallError("mkdir", err)
	}
	defer func() {
		if made && err != nil {
			_ = unix.Unlinkat(folder, draft, unix.AT_REMOVEDIR) // no descriptor is left, say
		}
	}()
	refuse := func(why string, err error) error {
		return fmt.Errorf("%s: %w: choose another path", why, err)
	}
	open := func() (int, error) {
		return unix.Openat(folder, draft, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	}
	room, err = retry(open)
	if made && errors.Is(err, unix.EACCES) {
		// A umask can take even the owner's rights.
		if err := letIn(folder, draft); err != nil {
			return -1, err
		}
		room, err = retry(open)
	}
	switch {
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return -1, refuse("something is in the way", unix.EEXIST)
	case err != nil:
		return -1, os.NewSyscallError("open", err)
	}
	var st unix.Stat_t
	err = os.NewSyscallError("fstat", unix.Fstat(room, &st))
	switch {
	case err != nil:
	case st.Uid != uint32(os.Geteuid()):
		err = refuse(fmt.Sprintf("it belongs to uid %d", st.Uid), unix.EPERM)
	case st.Mode&0o077 != 0:
		err = refuse("others may reach into it", unix.EPERM)
	default:
		return room, nil
	}
	closeFD(room)
	return -1, err
}

// letIn gives the owner the rights to the draft folder. A link in its place is not
// followed: fchmodat(2) can do that since Linux 6.6 only.
func letIn(folder int, draft string) error {
	handle, err := retry(func() (int, error) {
		return unix.Openat(folder, draft, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	defer closeFD(handle)
	return os.NewSyscallError("chmod", unix.Chmod(procName(handle), 0o700))
}

// open opens the read end of what was just made in the draft folder.
func (f *FIFO) open(room int, o Options) (err error) {
	open := func() (int, error) {
		return unix.Openat(room, draftName, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	}
	f.hold, err = retry(open)
	if errors.Is(err, unix.EACCES) && !o.Umask {
		// A umask can take even the owner's right to read. (That a link is not
		// followed, Linux before 6.6 cannot do, and here is none.)
		if err := unix.Fchmodat(room, draftName, uint32(o.Mode), 0); err != nil {
			return os.NewSyscallError("fchmodat", err)
		}
		f.hold, err = retry(open)
	}
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(f.hold, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	f.id = identityOf(&st)
	if !o.Umask {
		if err := unix.Fchmod(f.hold, uint32(o.Mode)); err != nil {
			return os.NewSyscallError("fchmod", err)
		}
	}
	return setPresence(f.folder, f.id)
}

// mustBeStale fails unless name is, in the folder, that of a FIFO of the caller's
// that nobody reads. The folder is locked, so no other Create can use it from then on.
func (f *FIFO) mustBeStale(name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(f.folder, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return os.NewSyscallError("lstat", err)
	}
	if err := mustBeFIFO(&st); err != nil {
		return fmt.Errorf("%w: %w", unix.EEXIST, err)
	}
	if st.Uid != uint32(os.Geteuid()) {
		return fmt.Errorf("it belongs to uid %d: %w: choose another path", st.Uid, unix.EPERM)
	}
	if err := live(f.folder, f.path, identityOf(&st)); err != nil {
		return err
	}
	// A write end opens only while somebody reads. A foreign server that is
	// still blocked in open(2), where /proc shows no descriptor, is found only
	// so, at the price that it sees a client come and go.
	fd, _, err := openChecked(f.folder, name, unix.O_WRONLY)
	if errors.Is(err, unix.ENXIO) || errors.Is(err, unix.EACCES) { // or its mode keeps its owner from writing
		return nil
	}
	if err != nil {
		return err
	}
	closeFD(fd)
	return &LiveError{Path: f.path, PIDs: readersOf(identityOf(&st))}
}

// Path returns the path given to [Create].
func (f *FIFO) Path() string { return f.path }

// Replaced reports whether a FIFO that a dead server had left was replaced.
func (f *FIFO) Replaced() bool { return f.replaced }

// Pending returns how many messages have been written to the FIFO and not read.
// It counts them in a copy that tee(2) makes, which takes nothing away. What
// writers without packet mode have left is counted as one message with the
// packets that are joined to it, see [Reader.Read].
//
// It fails with [unix.EPERM] where the user's share of pipe memory (pipe(7)) has
// no room for the copy; then there are more messages than it returns.
func (f *FIFO) Pending() (messages int, err error) {
	messages, err = f.count()
	if err != nil {
		return messages, fmt.Errorf("count messages in FIFO %s: %w", f.path, err)
	}
	return messages, nil
}

func (f *FIFO) count() (messages int, err error) {
	bytes, err := pipe.Buffered(f.hold)
	if err != nil || bytes == 0 {
		return 0, err
	}
	capacity, err := pipe.Capacity(f.hold)
	if err != nil {
		return 0, err
	}
	var scratch [2]int
	if err := unix.Pipe2(scratch[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return 0, os.NewSyscallError("pipe2", err)
	}
	defer closeFD(scratch[0])
	defer closeFD(scratch[1])
	_, small := pipe.SetCapacity(scratch[1], capacity)
	copied, err := unix.Tee(f.hold, scratch[1], math.MaxInt32, unix.SPLICE_F_NONBLOCK)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		return 0, os.NewSyscallError("tee", err)
	}
	buf := make([]byte, capacity+Atomic)
	for {
		n, err := retry(func() (int, error) { return unix.Read(scratch[0], buf) })
		if err != nil { // EAGAIN: all of the copy is counted
			break
		}
		if text, marked := f.mark.cut(buf[:n]); !marked || len(text) > 0 {
			messages++
		}
	}
	if int(int32(copied)) < bytes { // see writerPresent
		return messages, small // or somebody has read meanwhile
	}
	return messages, nil
}

// Shut closes the read end, also when it fails, so that writers get EPIPE from then on.
// It returns how many messages are in the FIFO: of these, unlike those that
// [FIFO.Pending] finds, it is certain that no other will follow. They are gone with
// Close. It is for a server at its end, which has unlinked the FIFO and closed all other
// read ends. Where the FIFO cannot be opened once more, as without /proc, a message may
// come between the counting and the closing.
func (f *FIFO) Shut() (messages int, err error) {
	defer func() {
		if f.hold >= 0 {
			closeFD(f.hold)
			f.hold = -1
		}
	}()
	if err := f.KeepOpen(); err != nil { // or the messages would be gone with the read end
		return f.Pending()
	}
	for {
		before, err := pipe.Buffered(f.hold)
		if err != nil {
			return 0, fmt.Errorf("shut FIFO %s: %w", f.path, err)
		}
		if messages, err = f.Pending(); err != nil {
			return 0, err
		}
		closeFD(f.hold)
		f.hold = -1
		after, err := pipe.Buffered(f.keep)
		if err != nil {
			return 0, fmt.Errorf("shut FIFO %s: %w", f.path, err)
		}
		if after == before {
			return messages, nil
		}
		// One came in between. To look at it takes another read end.
		f.hold, err = retry(func() (int, error) {
			return unix.Open(procName(f.keep), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		})
		if err != nil {
			f.hold = -1
			return 0, fmt.Errorf("shut FIFO %s: %w", f.path, os.NewSyscallError("open", err))
		}
	}
}

// Remove unlinks the FIFO, unless its path by now names something else, which
// stays, and closes the read end. Writers then get EPIPE. What was written
// and not read is gone with the last descriptor: see [FIFO.Pending].
func (f *FIFO) Remove() error {
	err := f.Unlink()
	f.Close()
	return err
}

// Close closes what the FIFO holds and leaves the name, as if the process had
// been killed. A second Close does nothing.
func (f *FIFO) Close() {
	for _, fd := range []*int{&f.folder, &f.hold, &f.keep} {
		if *fd >= 0 {
			closeFD(*fd)
		}
		*fd = -1
	}
}

// Unlink removes the name and leaves the pipe as it is: those who have it open
// go on, nobody can open it any more. A path that by now names something else
// stays, and that is an error matching [fs.ErrNotExist], as is a path that
// names nothing. The name is looked for in the folder where Create made it, also
// when that has been moved or, with a relative path, the process is elsewhere.
func (f *FIFO) Unlink() error {
	folder, name := f.folder, nameOf(f.path)
	if folder < 0 { // after Close
		folder, name = unix.AT_FDCWD, f.path
	}
	var st unix.Stat_t
	if err := unix.Fstatat(folder, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("remove FIFO %s: %w", f.path, os.NewSyscallError("fstatat", err))
	}
	if identityOf(&st) != f.id {
		return fmt.Errorf("remove FIFO %s: the path names another file by now, which is left: %w", f.path, unix.ENOENT)
	}
	if err := unix.Unlinkat(folder, name, 0); err != nil {
		return fmt.Errorf("remove FIFO %s: %w", f.path, os.NewSyscallError("unlinkat", err))
	}
	return nil
}

// TryRead reads a message into p as [Reader.Read] does, but without blocking:
// it fails with [unix.EAGAIN] when there is none. It is for a server whose
// readers have ended, to take what came after. It skips what [FIFO.StopReaders]
// has left.
func (f *FIFO) TryRead(p []byte) (int, error) {
	if len(p) < Atomic {
		return 0, fmt.Errorf("read FIFO %s: buffer of %d bytes, want at least %d: %w", f.path, len(p), Atomic, unix.EINVAL)
	}
	capacity, err := pipe.Capacity(f.hold)
	if err != nil {
		return 0, fmt.Errorf("read FIFO %s: %w", f.path, err)
	}
	// Who forges marks without end shall not keep the caller here: after so many
	// there is nothing left of what was in the FIFO at the call.
	for range capacity/Atomic + 1 {
		n, err := retry(func() (int, error) { return unix.Read(f.hold, p) })
		switch {
		case err != nil:
			return 0, fmt.Errorf("read FIFO %s: %w", f.path, os.NewSyscallError("read", err))
		case n == 0:
			return 0, io.EOF
		}
		if text, marked := f.mark.cut(p[:n]); !marked || len(text) > 0 {
			return len(text), nil
		}
	}
	return 0, fmt.Errorf("read FIFO %s: nothing but marks: %w", f.path, unix.EAGAIN)
}
