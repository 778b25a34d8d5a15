package main

import (
	"fmt"
	"os"

	"example.com/ipcsuite/internal/explain"
)

// evidence prints what the kernel shows of each step of the client, with --explain.
type evidence struct {
	*explain.Evidence

	path string
	told bool // of a message
}

// opened is after open(2): this process and those of the server have the same
// inode open, and not the same open file description.
func (e *evidence) opened() {
	object, own, seen := e.FIFO(e.path)
	switch {
	case !seen:
	case len(own) == 0:
		e.Print(fmt.Sprintf("FIFO %s: this process's end cannot be seen: /proc is not mounted, or the path names another file by now", e.path))
	default:
		if readers := e.Readers(object); len(readers) > 0 {
			e.Description(own[0], readers[0]) // one tells enough
		}
	}
}

// sent is after the first write(2): the message is in memory, not in the file.
func (e *evidence) sent(bytes int) {
	if !e.Wanted() || e.told {
		return
	}
	e.told = true
	info, err := os.Lstat(e.path)
	if err != nil {
		e.Print(fmt.Sprintf("write(2) took %d bytes; FIFO %s: cannot be seen: %v", bytes, e.path, explain.Reason(err)))
		return
	}
	e.Print(fmt.Sprintf("write(2) took %d bytes; the size of %s on disk is %d", bytes, e.path, info.Size()))
}
