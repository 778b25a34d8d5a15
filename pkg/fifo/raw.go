package fifo

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawWrite is write(2) on a non-blocking descriptor of which the Go scheduler is not
// told, which saves a sixth of the time that a message takes. (Of read(2) it has
// to be told: where the reader does not keep up it makes no difference.) p must not
// be empty.
//
// The call does not wait for room, but it does for the pipe's mutex. Whoever lets the
// kernel copy between the pipe and memory that has yet to come from somewhere
// (userfaultfd(2), a file of FUSE) has that for as long as they like, and a thread in
// a raw call keeps the garbage collector, and soon all goroutines, from going on. So
// it is for a FIFO that only the user of this process can open, see isPrivate: they
// could stop the process anyway.
func rawWrite(fd int, p []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// isPrivate reports whether a FIFO can only be opened by the user of this process, and
// by root. (An access control list gives others no more than the bits of the group.)
func isPrivate(st *unix.Stat_t) bool {
	return int(st.Uid) == unix.Geteuid() && st.Mode&0o077 == 0
}
