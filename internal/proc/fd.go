package proc

import (
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// FD is a descriptor of a process.
type FD struct{ PID, FD int }

func (f FD) String() string { return fmt.Sprintf("descriptor %d of process %d", f.FD, f.PID) }

// FDs returns the descriptors that a process has open, in order.
func FDs(pid int) ([]FD, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return nil, err
	}
	numbers, err := p.FileDescriptors()
	if err != nil {
		return nil, err
	}
	slices.Sort(numbers)
	fds := make([]FD, len(numbers))
	for i, n := range numbers {
		fds[i] = FD{pid, int(n)}
	}
	return fds, nil
}

// Flags returns the access mode and the status flags of a descriptor. They belong
// to the open file description: all that share it see what one of them sets.
func (f FD) Flags() (int, error) {
	path := fmt.Sprintf("/proc/%d/fdinfo/%d", f.PID, f.FD)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	flags, err := parseFlags(string(text))
	if err != nil {
		return 0, fmt.Errorf("%s: flags: %w", path, err)
	}
	return flags, nil
}

// parseFlags reads what proc_pid_fdinfo(5) shows in octal. procfs refuses a file with
// an inotify line that it does not know.
func parseFlags(fdinfo string) (int, error) {
	flags, err := strconv.ParseUint(field(fdinfo, "flags"), 8, 32)
	return int(flags), err
}

// Object returns what the descriptor refers to.
func (f FD) Object() (Object, error) {
	stat, err := statx(unix.AT_FDCWD, f.link(), 0)
	if err != nil {
		return Object{}, err
	}
	name, err := os.Readlink(f.link())
	return Object{stat, name}, err
}

// link is the name of a link to the open file itself, whatever the file's path names
// by now (proc_pid_fd(5)). procfs reads only the text of the links, and does not say
// which descriptor each belongs to.
func (f FD) link() string { return fmt.Sprintf("/proc/%d/fd/%d", f.PID, f.FD) }

// Kcmp compares the open file descriptions, struct file in the kernel, of two
// descriptors: 0 is one and the same (kcmp(2), KCMP_FILE).
func Kcmp(a, b FD) (order int, err error) {
	const kcmpFile = 0 // linux/kcmp.h
	r, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(a.PID), uintptr(b.PID), kcmpFile, uintptr(a.FD), uintptr(b.FD), 0)
	if errno != 0 {
		return 0, os.NewSyscallError("kcmp(2)", errno)
	}
	return int(r), nil
}
