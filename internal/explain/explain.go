// Package explain puts into words what package proc finds in the kernel, and what
// shows that a step did what the program says it did: which descriptors refer to one
// object, which of them share an open file description, where a thread sleeps, what
// a segment's row says, where an address lies.
//
// It prints nothing from memory. A look that the kernel or a container forbids
// yields a line that says what could not be seen and why, never an error that
// stops the step: the explanation is an extra.
package explain

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// unseen says what could not be seen, and why.
func unseen(what string, err error) string {
	return fmt.Sprintf("%s: cannot be seen: %v", what, Reason(err))
}

// Reason adds to an error of a look what usually is behind it.
func Reason(err error) error {
	switch {
	case errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("%w (the kernel was built without it, or a seccomp filter hides it)", err)
	case errors.Is(err, fs.ErrPermission): // EPERM and EACCES
		return fmt.Errorf("%w (a look into a process needs the same user, or CAP_SYS_PTRACE, and a seccomp filter that lets it pass)", err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH): // ESRCH while it is read
		return fmt.Errorf("%w (it has ended, or /proc is not mounted, or mounted with hidepid)", err)
	}
	return err
}
