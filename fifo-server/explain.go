package main

import (
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/explain"
	"example.com/ipcsuite/internal/proc"
	"example.com/ipcsuite/pkg/fork"
)

// evidence prints, after each step of the server, what the kernel shows of it. Without
// --explain there is none, and its methods do nothing.
type evidence struct {
	out  io.Writer // standard error
	path string
	fifo proc.Object // what every end of the FIFO refers to
	own  []proc.FD   // the server's, when it had made the FIFO
}

// made is after mkfifo(3) and the first open(2).
func (e *evidence) made() {
	if e == nil {
		return
	}
	var err error
	e.fifo, err = proc.ObjectAt(e.path)
	if err != nil {
		explain.Print(e.out, fmt.Sprintf("FIFO %s: cannot be seen: %v", e.path, explain.Reason(err)))
		return
	}
	e.own, _ = e.fifo.Ends(os.Getpid()) // Holders says why it cannot see them
	explain.Print(e.out, explain.Node(e.fifo))
	explain.Print(e.out, explain.Holders(e.fifo, os.Getpid())...)
}

// keptOpen is when the server holds a write end too, so that no client is the
// last.
func (e *evidence) keptOpen() {
	if e != nil {
		explain.Print(e.out, explain.Holders(e.fifo, os.Getpid())...)
	}
}

// clientCame is when somebody has opened the FIFO for writing. The server
// opened the same inode, and yet each of the two has a description of its own.
func (e *evidence) clientCame() {
	if e == nil {
		return
	}
	theirs := slices.DeleteFunc(e.fifo.AllEnds(), func(end proc.FD) bool { return end.PID == os.Getpid() })
	if len(e.own) == 0 || len(theirs) == 0 {
		explain.Print(e.out, "the client cannot be seen: it has left by now, or /proc does not show its descriptors "+
			"(which takes the same user, or CAP_SYS_PTRACE, and the same PID namespace)")
		if len(e.own) > 0 {
			e.openedTwice(e.own[0])
		}
		return
	}
	seen := map[int]bool{}
	for _, end := range theirs {
		if !seen[end.PID] {
			seen[end.PID] = true
			explain.Print(e.out, explain.Holders(e.fifo, end.PID)...)
			explain.Print(e.out, explain.Description(e.own[0], end))
		}
	}
}

// openedTwice shows with a second open(2) of the server's own what a client's would
// have shown. The server reads the FIFO already, so nobody notices.
func (e *evidence) openedTwice(first proc.FD) {
	fd, err := unix.Open(e.path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return // somebody has removed it
	}
	defer unix.Close(fd)
	explain.Print(e.out, explain.Description(first, proc.FD{PID: os.Getpid(), FD: fd}))
}

// hold keeps the readers from the end of file, at which they end, until release is
// called: so that there is something to look at also when the client has left.
func (e *evidence) hold() (release func()) {
	if e == nil {
		return func() {}
	}
	fd, err := unix.Open(e.path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil { // somebody has removed it
		return func() {}
	}
	return func() { _ = unix.Close(fd) }
}

// inherited is when a reader runs, with the descriptor that it was given.
func (e *evidence) inherited(reader int, shared *os.File) {
	if e == nil {
		return
	}
	explain.Print(e.out, explain.Description(
		proc.FD{PID: reader, FD: fork.FD(0)},
		proc.FD{PID: os.Getpid(), FD: int(shared.Fd())},
	))
}

// removed is after unlink(2).
func (e *evidence) removed() {
	if e == nil {
		return
	}
	_, err := os.Lstat(e.path)
	explain.Print(e.out, fmt.Sprintf("after unlink(2), lstat(2) of the path says: %v", err))
	explain.Print(e.out, explain.Holders(e.fifo, os.Getpid())...)
}
