package fifo

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// LiveError says that a FIFO is served by a process. It matches
// [unix.EADDRINUSE].
type LiveError struct {
	Path string
	// PIDs are the processes that read the FIFO, as far as /proc shows them
	// to the caller: possibly none, in another PID namespace or of another
	// user.
	PIDs []int
}

func (e *LiveError) Error() string {
	if len(e.PIDs) == 0 {
		return "a live process that is not visible from here reads it: choose another path"
	}
	s := make([]string, len(e.PIDs))
	for i, pid := range e.PIDs {
		s[i] = fmt.Sprint(pid)
	}
	return "served by live process " + strings.Join(s, ", ") + ": stop it or choose another path"
}

// Unwrap makes errors.Is(err, unix.EADDRINUSE) true.
func (e *LiveError) Unwrap() error { return unix.EADDRINUSE }

// Live returns an error with a [*LiveError] in it if the FIFO at path is served, nil
// if nobody reads it, and another error if there is no FIFO or its folder may not be
// read. It does not open the FIFO, so that nobody who waits there takes the caller
// for a peer. A server that is not of this package is found only if /proc shows
// it to the caller.
func Live(path string) error {
	if err := look(path); err != nil {
		return fmt.Errorf("FIFO %s: %w", path, err)
	}
	return nil
}

func look(path string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return os.NewSyscallError("lstat", err)
	}
	if err := mustBeFIFO(&st); err != nil {
		return err
	}
	folder, err := openFolder(folderOf(path))
	if err != nil {
		return err
	}
	defer closeFD(folder)
	return live(folder, path, identityOf(&st))
}

func live(folder int, path string, id identity) error {
	pids := readersOf(id)
	if len(pids) == 0 {
		present, err := hasPresence(folder, id)
		if !present {
			return err
		}
	}
	return &LiveError{Path: path, PIDs: pids}
}

// setPresence puts the record lock on the folder that hasPresence looks for, at
// the place that the FIFO's inode number gives. It belongs to the open file
// description, and so goes with the last descriptor, however the process ends.
//
// It is on the folder because a lock on the FIFO can be looked for only through
// an open FIFO, and to those who wait in open(2) any opening is a peer. A read
// lock is all that a folder can carry, and that is enough: creations take turns.
func setPresence(folder int, id identity) error {
	lock := presence(unix.F_RDLCK, id)
	return os.NewSyscallError("fcntl F_OFD_SETLK", unix.FcntlFlock(uintptr(folder), unix.F_OFD_SETLK, &lock))
}

// hasPresence asks whether a write lock would meet the lock of another open
// file description. To ask needs no write access.
func hasPresence(folder int, id identity) (bool, error) {
	lock := presence(unix.F_WRLCK, id)
	if err := unix.FcntlFlock(uintptr(folder), unix.F_OFD_GETLK, &lock); err != nil {
		return false, os.NewSyscallError("fcntl F_OFD_GETLK", err)
	}
	return lock.Type != unix.F_UNLCK, nil
}

func presence(kind int16, id identity) unix.Flock_t {
	// Offsets are signed, and some file systems use all bits of an inode
	// number.
	return unix.Flock_t{Type: kind, Whence: io.SeekStart, Start: int64(id.ino &^ (3 << 62)), Len: 1}
}

// readersOf returns the processes that have the FIFO open for reading, as far
// as /proc/PID/fd may be read (proc(5): same user, same PID namespace).
func readersOf(id identity) []int {
	var pids []int
	dirs, _ := filepath.Glob("/proc/[0-9]*/fd") // no /proc: nothing to be seen
	for _, dir := range dirs {
		fds, err := os.ReadDir(dir)
		if err != nil {
			continue // not ours to read, or gone by now
		}
		reads := func(fd os.DirEntry) bool {
			return identityAt(filepath.Join(dir, fd.Name())) == id &&
				readable(filepath.Join(filepath.Dir(dir), "fdinfo", fd.Name()))
		}
		if slices.ContainsFunc(fds, reads) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// identityAt returns the identity of the file at path, the zero one if there is
// none. Other processes' files are looked at, and some may be on a file system
// whose server does not answer: it is not asked.
func identityAt(path string) identity {
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &st) != nil {
		return identity{}
	}
	return identity{unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino}
}

func readable(fdinfo string) bool {
	text, err := os.ReadFile(fdinfo)
	return err == nil && opensForReading(string(text))
}

// opensForReading parses the "flags:" line of /proc/PID/fdinfo/FD, which is
// octal (proc(5)).
func opensForReading(fdinfo string) bool {
	for line := range strings.Lines(fdinfo) {
		if rest, ok := strings.CutPrefix(line, "flags:"); ok {
			flags, err := strconv.ParseUint(strings.TrimSpace(rest), 8, 64)
			return err == nil && flags&unix.O_PATH == 0 && flags&unix.O_ACCMODE != unix.O_WRONLY
		}
	}
	return false
}
