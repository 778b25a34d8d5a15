package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// Object is what a descriptor refers to in the end: a pipe, a FIFO, a file.
type Object struct {
	Stat unix.Statx_t
	name string
}

// ObjectOf returns the object of one of this process's descriptors.
func ObjectOf(fd int) (Object, error) {
	stat, err := statx(fd, "", unix.AT_EMPTY_PATH)
	if err != nil {
		return Object{}, err
	}
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil { // no /proc
		name = fmt.Sprintf("inode %d", stat.Ino)
	}
	return Object{stat, name}, nil
}

// ObjectAt returns the object that a path names, and opens no end of it: neither
// is a server disturbed by it, nor a client.
func ObjectAt(path string) (Object, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return Object{}, fmt.Errorf("open(%s): %w", path, err)
	}
	defer unix.Close(fd)
	return ObjectOf(fd)
}

// statx is statx(2). A file system whose server does not answer is not asked: the
// descriptors of other processes may lead there.
func statx(dir int, path string, flags int) (st unix.Statx_t, err error) {
	err = unix.Statx(dir, path, flags|unix.AT_STATX_DONT_SYNC, unix.STATX_BASIC_STATS, &st)
	if err != nil {
		return st, &os.PathError{Op: "statx", Path: path, Err: err}
	}
	return st, nil
}

// String is the text of the link in /proc/PID/fd: pipe:[<inode>] or a path.
func (o Object) String() string { return o.name }

// Device is the file system of the object, as "major:minor".
func (o Object) Device() string { return fmt.Sprintf("%d:%d", o.Stat.Dev_major, o.Stat.Dev_minor) }

// IsFIFO reports whether it is a pipe, with or without a name.
func (o Object) IsFIFO() bool { return o.Stat.Mode&unix.S_IFMT == unix.S_IFIFO }

// is reports whether a descriptor with this status refers to the object: device
// and inode are equal, whether or not the open file description is the same.
func (o Object) is(st unix.Statx_t) bool {
	return st.Dev_major == o.Stat.Dev_major && st.Dev_minor == o.Stat.Dev_minor && st.Ino == o.Stat.Ino
}

// Pipes returns the pipes and FIFOs that a process has open, each once.
func Pipes(pid int) ([]Object, error) {
	fds, err := FDs(pid)
	if err != nil {
		return nil, err
	}
	var pipes []Object
	for _, fd := range fds {
		o, err := fd.Object()
		if err != nil || !o.IsFIFO() { // closed meanwhile, or something else
			continue
		}
		if !slices.ContainsFunc(pipes, func(p Object) bool { return p.is(o.Stat) }) {
			pipes = append(pipes, o)
		}
	}
	return pipes, nil
}

// Ends returns the descriptors of a process that refer to the object, in order. One
// opened with O_PATH is no end: a client that waits for its server has such a one.
func (o Object) Ends(pid int) ([]FD, error) {
	fds, err := FDs(pid)
	if err != nil {
		return nil, err
	}
	var ends []FD
	for _, fd := range fds {
		st, err := statx(unix.AT_FDCWD, fd.link(), 0)
		switch {
		case errors.Is(err, fs.ErrNotExist): // closed meanwhile
			continue
		case err != nil:
			return nil, err
		case !o.is(st):
			continue
		}
		if flags, err := fd.Flags(); err != nil || flags&unix.O_PATH == 0 {
			ends = append(ends, fd)
		}
	}
	return ends, nil
}

// AllEnds returns the descriptors of all processes that refer to the object, as
// far as /proc shows them.
func (o Object) AllEnds() []FD {
	var all []FD
	processes, _ := procfs.AllProcs() // without /proc none is shown
	for _, p := range processes {
		ends, _ := o.Ends(p.PID) // what is forbidden or gone is not shown
		all = append(all, ends...)
	}
	return all
}

// Mounts returns where this process sees the object's file system mounted
// (proc_pid_mountinfo(5)).
func (o Object) Mounts() ([]string, error) {
	all, err := procfs.GetMounts()
	var points []string
	for _, m := range all {
		if m.MajorMinorVer == o.Device() {
			points = append(points, m.MountPoint)
		}
	}
	return points, err
}
