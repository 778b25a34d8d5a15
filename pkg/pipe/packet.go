package pipe

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Atomic is PIPE_BUF, the number of bytes up to which a write to a pipe is atomic:
// it is not interleaved with the writes of others, and in packet mode it is one
// packet (pipe(7), PIPE_BUF). Linux has 4096 on every architecture, whatever the
// page size.
//
// A blocking write of up to Atomic bytes writes all of them, and a non-blocking
// one all or none (EAGAIN). A longer one may be interleaved and cut anywhere.
const Atomic = 4096

// SetPacketMode switches packet mode on or off for a write end (F_SETFL with
// O_DIRECT, fcntl(2)), and so for all descriptors that share its open file
// description, in other processes too. See the package documentation for what it
// does, and for why the pipe should be empty when it is switched on.
//
// This is the way for a FIFO, as open(2) refuses O_DIRECT there with EINVAL. It
// needs Linux 4.5; before that, the error is EINVAL. It is EBADF when the
// descriptor is closed, not that of a pipe, or a read end.
//
// The flags are read, changed and written back by two system calls. Should a
// process that shares the description change another flag between them, that change
// is lost.
func SetPacketMode(fd int, on bool) error {
	flags, err := statusFlags(fd)
	if err != nil {
		return err
	}
	if flags&unix.O_ACCMODE == unix.O_RDONLY {
		return fmt.Errorf("pipe: packet mode of descriptor %d: %w: it is a read end, and the mode is the write end's", fd, unix.EBADF)
	}
	if on {
		flags |= unix.O_DIRECT
	} else {
		flags &^= unix.O_DIRECT
	}
	_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags)
	switch {
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("pipe: fcntl(%d, F_SETFL, O_DIRECT): %w: packet mode by fcntl(2) needs Linux 4.5", fd, err)
	case err != nil:
		return fmt.Errorf("pipe: fcntl(%d, F_SETFL): %w", fd, err)
	}
	return nil
}

// PacketMode reports whether a write end is in packet mode (F_GETFL, fcntl(2)). A
// read end never is. The error is EBADF when the descriptor is closed or not that of
// a pipe.
func PacketMode(fd int) (bool, error) {
	flags, err := statusFlags(fd)
	return flags&unix.O_DIRECT != 0, err
}

// statusFlags returns the file status flags of a pipe, and an error for anything
// else: on a regular file, O_DIRECT bypasses the page cache.
func statusFlags(fd int) (int, error) {
	if _, err := Capacity(fd); err != nil {
		return 0, err
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return 0, fmt.Errorf("pipe: fcntl(%d, F_GETFL): %w", fd, err)
	}
	return flags, nil
}
