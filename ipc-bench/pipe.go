package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fork"
	"example.com/ipcsuite/pkg/pipe"
)

const (
	nonBlocking = unix.O_NONBLOCK
	packetMode  = unix.O_DIRECT
)

// errGone says that the other end has closed its side.
var errGone = errors.New("the other end has gone")

// meetPipes makes two pipes, one for each direction.
func meetPipes(flags int) func(context.Context, plan) (*meeting, error) {
	return func(context.Context, plan) (*meeting, error) {
		there, thither, err := pipe.New(flags)
		if err != nil {
			return nil, err
		}
		back, thence, err := pipe.New(flags)
		if err != nil {
			_, _ = there.Close(), thither.Close()
			return nil, err
		}
		return &meeting{near: []*os.File{back, thither}, far: []*os.File{there, thence}, leave: func() {}}, nil
	}
}

func joinPipes(_ context.Context, a assignment) (link, error) {
	return fdLink{in: fork.FD(0), out: fork.FD(1), size: a.Size}, nil
}

// meetSockets makes a pair of sockets, each of which carries both directions.
func meetSockets(context.Context, plan) (*meeting, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	file := func(i int) []*os.File { return []*os.File{os.NewFile(uintptr(fds[i]), "socket")} }
	return &meeting{near: file(0), far: file(1), leave: func() {}}, nil
}

func joinSockets(_ context.Context, a assignment) (link, error) {
	return fdLink{in: fork.FD(0), out: fork.FD(0), size: a.Size}, nil
}

// fdLink reads and writes descriptors that block. The thread sleeps in the call
// itself, and the kernel wakes it without asking anybody.
type fdLink struct{ in, out, size int }

func (l fdLink) send(p []byte) error {
	for len(p) > 0 {
		n, err := unix.Write(l.out, p)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EPIPE):
			return errGone
		case err != nil:
			return os.NewSyscallError("write", err)
		default:
			p = p[n:]
		}
	}
	return nil
}

func (l fdLink) receive(buf []byte) ([]byte, error) {
	// A stream gives what is there, which may be part of a message.
	for have := 0; have < l.size; {
		n, err := unix.Read(l.in, buf[have:l.size])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, os.NewSyscallError("read", err)
		case n == 0:
			return nil, errGone
		default:
			have += n
		}
	}
	return buf[:l.size], nil
}

func joinFiles(_ context.Context, a assignment) (link, error) {
	return fileLink{
		in:   os.NewFile(uintptr(fork.FD(0)), "pipe"),
		out:  os.NewFile(uintptr(fork.FD(1)), "pipe"),
		size: a.Size,
	}, nil
}

// fileLink leaves waiting to the runtime's poller: epoll_wait(2) in another
// thread or in the scheduler finds out that a descriptor is ready, and then the
// goroutine is made to run again.
type fileLink struct {
	in, out *os.File
	size    int
}

func (l fileLink) send(p []byte) error {
	if _, err := l.out.Write(p); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

func (l fileLink) receive(buf []byte) ([]byte, error) {
	switch _, err := io.ReadFull(l.in, buf[:l.size]); {
	case errors.Is(err, io.EOF):
		return nil, errGone
	case err != nil:
		return nil, fmt.Errorf("read: %w", err)
	}
	return buf[:l.size], nil
}
