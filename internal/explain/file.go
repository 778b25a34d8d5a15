package explain

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Object is what a descriptor refers to in the end: a pipe, a FIFO, a file. Two
// descriptors refer to the same object when device and inode are equal, whether
// or not they share an open file description.
type Object struct {
	stat unix.Stat_t
	name string
}

// Of returns the object of one of this process's descriptors.
func Of(fd int) (Object, error) {
	var o Object
	if err := unix.Fstat(fd, &o.stat); err != nil {
		return o, fmt.Errorf("fstat(%d): %w", fd, err)
	}
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil { // no /proc
		name = fmt.Sprintf("inode %d", o.stat.Ino)
	}
	o.name = name
	return o, nil
}

// OfPath returns the object that a path names, and opens no end of it: neither
// is a server disturbed by it, nor a client.
func OfPath(path string) (Object, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return Object{}, fmt.Errorf("open(%s): %w", path, err)
	}
	defer unix.Close(fd)
	return Of(fd)
}

// String is the text of the link in /proc/PID/fd: pipe:[<inode>] or a path.
func (o Object) String() string { return o.name }

// Node describes the object's inode: what there would be to see on a disk.
func (o Object) Node() string {
	kind := "not a FIFO"
	if o.stat.Mode&unix.S_IFMT == unix.S_IFIFO {
		kind = "a FIFO"
	}
	return fmt.Sprintf("%s is %s: inode %d on device %d:%d, size %d, %d blocks on disk",
		o, kind, o.stat.Ino, unix.Major(uint64(o.stat.Dev)), unix.Minor(uint64(o.stat.Dev)), o.stat.Size, o.stat.Blocks) // Dev is shorter on some architectures
}

// Holders returns a line for each process: which of its descriptors refer to
// the object, as /proc/PID/fd has it.
func (o Object) Holders(pids ...int) []string {
	lines := make([]string, len(pids))
	for i, pid := range pids {
		held, err := o.heldBy(pid)
		switch {
		case err != nil:
			lines[i] = unseen(fmt.Sprintf("whether process %d has %s open", pid, o), err)
		case len(held) == 0:
			lines[i] = fmt.Sprintf("process %d does not have %s open", pid, o)
		default:
			lines[i] = fmt.Sprintf("process %d has %s open: %s", pid, o, strings.Join(held, ", "))
		}
	}
	return lines
}

// Ends returns the descriptors of a process that refer to the object, in order.
func (o Object) Ends(pid int) ([]FD, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var ends []FD
	for _, entry := range entries {
		// stat follows such a link to the open file itself, not to a path. A
		// descriptor that has been closed meanwhile is not held.
		var st unix.Stat_t
		if unix.Stat(dir+"/"+entry.Name(), &st) != nil || st.Dev != o.stat.Dev || st.Ino != o.stat.Ino {
			continue
		}
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			return nil, err
		}
		// A handle is no end: a client that waits for its server has one.
		if flags, err := StatusFlags(pid, fd); err == nil && flags&unix.O_PATH != 0 {
			continue
		}
		ends = append(ends, FD{pid, fd})
	}
	slices.SortFunc(ends, func(a, b FD) int { return cmp.Compare(a.FD, b.FD) })
	return ends, nil
}

// AllEnds returns the descriptors of all processes that refer to the object, as
// far as /proc shows them.
func (o Object) AllEnds() []FD {
	var all []FD
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well-formed
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			ends, _ := o.Ends(pid) // what is forbidden or gone is not shown
			all = append(all, ends...)
		}
	}
	return all
}

// heldBy lists the descriptors, each with what it is open for.
func (o Object) heldBy(pid int) ([]string, error) {
	ends, err := o.Ends(pid)
	var held []string
	for _, fd := range ends {
		end := ""
		if flags, err := StatusFlags(pid, fd.FD); err == nil {
			end = map[int]string{unix.O_RDONLY: " (read end)", unix.O_WRONLY: " (write end)", unix.O_RDWR: " (both ends)"}[flags&unix.O_ACCMODE]
		}
		held = append(held, fmt.Sprintf("descriptor %d%s", fd.FD, end))
	}
	return held, err
}

// StatusFlags returns the access mode and status flags of a descriptor of any
// process, from /proc/PID/fdinfo/FD. They belong to the open file description:
// what one process sets, those that share it see.
func StatusFlags(pid, fd int) (int, error) {
	file := fmt.Sprintf("/proc/%d/fdinfo/%d", pid, fd)
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	flags, err := statusFlags(string(text))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", file, err)
	}
	return flags, nil
}

// statusFlags parses the "flags:" line of a fdinfo file, which is octal.
func statusFlags(fdinfo string) (int, error) {
	flags, err := strconv.ParseUint(field(fdinfo, "flags"), 8, 32)
	return int(flags), err
}

// field returns the value in a line "name:	value" of a file in /proc.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// FD is a descriptor of a process.
type FD struct{ PID, FD int }

func (f FD) String() string { return fmt.Sprintf("descriptor %d of process %d", f.FD, f.PID) }

// SameDescription reports whether two descriptors refer to one open file
// description, a struct file in the kernel (kcmp(2), KCMP_FILE).
func SameDescription(a, b FD) (bool, error) {
	order, err := kcmpFile(a, b)
	return order == 0, err
}

func kcmpFile(a, b FD) (int, error) {
	const kcmpFILE = 0 // linux/kcmp.h
	order, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(a.PID), uintptr(b.PID), kcmpFILE, uintptr(a.FD), uintptr(b.FD), 0)
	if errno != 0 {
		return 0, os.NewSyscallError("kcmp(2)", errno)
	}
	return int(order), nil
}

// Description is SameDescription in words.
func Description(a, b FD) string {
	order, err := kcmpFile(a, b)
	both := fmt.Sprintf("%v and %v", a, b)
	switch {
	case err != nil:
		return unseen("whether "+both+" share an open file description", err)
	case order == 0:
		return fmt.Sprintf("%s share one open file description (kcmp KCMP_FILE: 0, equal)", both)
	default:
		return fmt.Sprintf("%s are two open file descriptions (kcmp KCMP_FILE: %d, not equal)", both, order)
	}
}
