package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// newShared makes memory that the server has in common with its readers, who
// inherit the file.
func newShared(name string, size int64) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("make the readers' %s: %w", name, os.NewSyscallError("memfd_create", err))
	}
	file := os.NewFile(uintptr(fd), name)
	if err := file.Truncate(size); err != nil {
		return nil, fmt.Errorf("make the readers' %s: %w", name, err)
	}
	// Were it to shrink, to look beyond its end would kill with SIGBUS: nobody
	// who can open it (/proc/PID/fd) shall be able to do that.
	if _, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		return nil, fmt.Errorf("make the readers' %s: %w", name, os.NewSyscallError("fcntl F_ADD_SEALS", err))
	}
	return file, nil
}

// mapShared maps all of it.
func mapShared(file *os.File) ([]byte, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("open the readers' %s: %w", file.Name(), err)
	}
	mem, err := unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("open the readers' %s: %w", file.Name(), os.NewSyscallError("mmap", err))
	}
	return mem, nil
}
