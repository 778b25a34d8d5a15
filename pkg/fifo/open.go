package fifo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotFIFO says that the path names something that is not a FIFO, or a
// symbolic link, which is not followed.
var ErrNotFIFO = errors.New("not a FIFO")

// openChecked opens the FIFO at path, seen from a folder, without blocking, and
// checks by the descriptor that it is one: whatever a path named before is hearsay.
// The look before the open keeps a device from being opened, which can have effects.
func openChecked(folder int, path string, access int) (int, *unix.Stat_t, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(folder, path, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return -1, nil, os.NewSyscallError("lstat", err)
	}
	if err := mustBeFIFO(&st); err != nil {
		return -1, nil, err
	}
	fd, err := retry(func() (int, error) {
		return unix.Openat(folder, path, access|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return -1, nil, os.NewSyscallError("open", err)
	}
	if err := unix.Fstat(fd, &st); err != nil {
		closeFD(fd)
		return -1, nil, os.NewSyscallError("fstat", err)
	}
	if err := mustBeFIFO(&st); err != nil {
		closeFD(fd)
		return -1, nil, err
	}
	return fd, &st, nil
}

func mustBeFIFO(st *unix.Stat_t) error {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return nil
	case unix.S_IFLNK:
		return fmt.Errorf("it is a symbolic link: %w: name the FIFO itself", ErrNotFIFO)
	case unix.S_IFDIR:
		return fmt.Errorf("it is a folder: %w: name a path inside it", ErrNotFIFO)
	default:
		return fmt.Errorf("a file of another kind is there: %w: choose another path", ErrNotFIFO)
	}
}

// folderOf returns the folder in which path is. Unlike [filepath.Dir] it leaves
// ".." to the kernel, to which "link/.." need not be the folder of link.
func folderOf(path string) string {
	dir, _ := filepath.Split(path)
	return cmp.Or(dir, ".")
}

// nameOf returns the name that path has in that folder.
func nameOf(path string) string {
	dir, name := filepath.Split(path)
	if dir != "" {
		name = cmp.Or(name, ".") // to the kernel, "folder/" is the folder
	}
	return name
}

func openFolder(dir string) (int, error) {
	fd, err := retry(func() (int, error) {
		return unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return -1, fmt.Errorf("folder %s: %w", dir, os.NewSyscallError("open", err))
	}
	return fd, nil
}

// lockTime is how long a folder's lock is waited for. All who take it by this
// package's code give it back in microseconds. But whoever may read the folder,
// which in /tmp is everybody, may lock it, and keep it: nobody is to wait for that.
const lockTime = 5 * time.Second

// lockFolder opens the folder and takes its flock(2), which goes when the
// descriptor is closed. ctx and lockTime end the wait for it, should there be one;
// a thread then stays in flock(2) until the lock comes.
func lockFolder(ctx context.Context, dir string) (int, error) {
	fd, err := openFolder(dir)
	if err != nil {
		return -1, err
	}
	err = flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		locked := make(chan error, 1)
		go func() { locked <- flock(fd, unix.LOCK_EX) }()
		ctx, cancel := context.WithTimeoutCause(ctx, lockTime,
			fmt.Errorf("for %v by now: %w: lslocks(8) shows which; end it, or choose another folder", lockTime, unix.EBUSY))
		defer cancel()
		select {
		case err = <-locked:
		case <-ctx.Done():
			go func() {
				<-locked //nolint:errcheck // the lock is not wanted any more
				closeFD(fd)
			}()
			return -1, fmt.Errorf("another process keeps folder %s locked: %w", dir, context.Cause(ctx))
		}
	}
	if err != nil {
		closeFD(fd)
		return -1, fmt.Errorf("folder %s: %w", dir, err)
	}
	return fd, nil
}

// errNoInotify stands for an EMFILE that has nothing to do with the process's
// descriptors.
var errNoInotify = errors.New("inotify_init1: the user has as many inotify(7) instances as " +
	"/proc/sys/fs/inotify/max_user_instances allows: end a program that has some, or raise it")

// newInotify returns a descriptor of inotify(7), of which a user can have but
// few.
func newInotify() (int, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err == nil {
		return fd, nil
	}
	if errors.Is(err, unix.EMFILE) {
		if fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC); err == nil { // so there is a descriptor left
			closeFD(fd)
			return -1, errNoInotify
		}
	}
	return -1, os.NewSyscallError("inotify_init1", err)
}

// retry repeats a system call that a signal interrupted. The Go runtime sends
// signals to its own threads, and not every call is restarted by the kernel.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// closeFD closes a descriptor of a pipe or folder, where close(2) has nothing
// to report: no data is flushed, and Linux frees the number in any case.
func closeFD(fd int) { _ = unix.Close(fd) }
