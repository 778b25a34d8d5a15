package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"example.com/ipcsuite/internal/explain"
	"example.com/ipcsuite/internal/proc"
	"example.com/ipcsuite/pkg/fifo"
)

// evidence prints, after each step of the client, what the kernel shows of it. Without
// --explain there is none, and its methods do nothing.
type evidence struct {
	out  io.Writer // standard error
	path string
	told bool // of a message
}

// opened is after open(2): this process and those of the server have the same
// inode open, and not the same open file description.
func (e *evidence) opened() {
	if e == nil {
		return
	}
	object, err := proc.ObjectAt(e.path)
	if err != nil {
		explain.Print(e.out, fmt.Sprintf("FIFO %s: cannot be seen: %v", e.path, explain.Reason(err)))
		return
	}
	explain.Print(e.out, explain.Node(object))
	explain.Print(e.out, explain.Holders(object, os.Getpid())...)

	mine, err := object.Ends(os.Getpid())
	if err != nil || len(mine) == 0 {
		explain.Print(e.out, fmt.Sprintf("FIFO %s: this process's end cannot be seen: /proc is not mounted, or the path names another file by now", e.path))
		return
	}

	var live *fifo.LiveError
	if !errors.As(fifo.Live(e.path), &live) || len(live.PIDs) == 0 {
		explain.Print(e.out, "who reads the FIFO cannot be seen: /proc shows no such process "+
			"(which takes the same user, or CAP_SYS_PTRACE, and the same PID namespace)")
		return
	}
	for _, pid := range live.PIDs {
		if theirs, err := object.Ends(pid); err == nil && len(theirs) > 0 {
			explain.Print(e.out, explain.Description(mine[0], theirs[0]))
			return // one tells enough
		}
	}
}

// sent is after the first write(2): the message is in memory, not in the file.
func (e *evidence) sent(bytes int) {
	if e == nil || e.told {
		return
	}
	e.told = true
	info, err := os.Lstat(e.path)
	if err != nil {
		explain.Print(e.out, fmt.Sprintf("write(2) took %d bytes; FIFO %s: cannot be seen: %v", bytes, e.path, explain.Reason(err)))
		return
	}
	explain.Print(e.out, fmt.Sprintf("write(2) took %d bytes; the size of %s on disk is %d", bytes, e.path, info.Size()))
}
