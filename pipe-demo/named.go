package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/pipe"
)

// namedPipe returns the ends of a FIFO, as [pipe.New] does those of a pipe. Its
// name is removed at once: whoever has it open needs none.
func namedPipe(flags int) (r, w *os.File, err error) {
	dir, err := os.MkdirTemp("", "pipe-demo-")
	if err != nil {
		return nil, nil, fmt.Errorf("make a folder for the FIFO: %w: name a place for it with TMPDIR", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return nil, nil, fmt.Errorf("mkfifo %s: %w", path, err)
	}
	// With O_NONBLOCK it does not wait for a writer, which then finds a reader.
	read, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", path, err)
	}
	write, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open %s: %w", path, err), unix.Close(read))
	}
	for _, fd := range []int{read, write} {
		if err == nil {
			err = os.NewSyscallError("fcntl", unix.SetNonblock(fd, flags&unix.O_NONBLOCK != 0))
		}
	}
	if err == nil && flags&unix.O_DIRECT != 0 {
		err = pipe.SetPacketMode(write, true)
	}
	if err != nil {
		return nil, nil, errors.Join(err, unix.Close(read), unix.Close(write))
	}
	return os.NewFile(uintptr(read), path), os.NewFile(uintptr(write), path), nil
}
