package main

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/explain"
	"example.com/ipcsuite/internal/proc"
	"example.com/ipcsuite/pkg/fork"
)

// evidence prints what the kernel shows of each step of the server, with --explain.
type evidence struct {
	*explain.Evidence

	path string
	fifo proc.Object // what every end of the FIFO refers to
	own  []proc.FD   // the server's, when it had made the FIFO
}

// made is after mkfifo(3) and the first open(2).
func (e *evidence) made() { e.fifo, e.own, _ = e.FIFO(e.path) }

// keptOpen is when the server holds a write end too, so that no client is the
// last.
func (e *evidence) keptOpen() { e.Holders(e.fifo, os.Getpid()) }

// clientCame is when somebody has opened the FIFO for writing. The server
// opened the same inode, and yet each of the two has a description of its own.
func (e *evidence) clientCame() {
	if !e.Wanted() {
		return
	}
	theirs := slices.DeleteFunc(e.fifo.AllEnds(), func(end proc.FD) bool { return end.PID == os.Getpid() })
	if len(e.own) == 0 || len(theirs) == 0 {
		e.Print("the client cannot be seen: it has left by now, or /proc does not show its descriptors " + explain.Access)
		if len(e.own) > 0 {
			e.openedTwice(e.own[0])
		}
		return
	}
	for _, end := range explain.OnePerProcess(theirs) {
		e.Holders(e.fifo, end.PID)
		e.Description(e.own[0], end)
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
	e.Description(first, proc.FD{PID: os.Getpid(), FD: fd})
}

// delayEOF keeps the readers from the end of file, at which they end, until release is
// called. So there is something to look at also when the client has left.
func (e *evidence) delayEOF() (release func()) {
	if !e.Wanted() {
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
	e.Inherited(reader, fork.FD(0), shared)
}

// removed is after unlink(2).
func (e *evidence) removed() {
	if !e.Wanted() {
		return
	}
	_, err := os.Lstat(e.path)
	e.Print(fmt.Sprintf("after unlink(2), lstat(2) of the path says: %v", err))
	e.Holders(e.fifo, os.Getpid())
}
