package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"example.com/ipcsuite/internal/explain"
	"example.com/ipcsuite/internal/proc"
)

// evidence prints, after each step of the parent, what the kernel shows of it. Without
// --explain there is none, and its methods do nothing.
type evidence struct {
	out    io.Writer   // standard error
	pipe   proc.Object // what both ends of the pipe for messages refer to
	child  int         // pid
	closed []string
}

// made is after pipe(2).
func (e *evidence) made(end *os.File) error {
	if e == nil {
		return nil
	}
	var err error
	if e.pipe, err = proc.ObjectOf(int(end.Fd())); err != nil {
		return err
	}
	explain.Print(e.out, explain.Node(e.pipe))
	explain.Print(e.out, explain.Holders(e.pipe, os.Getpid())...)
	return nil
}

// inherited is when the child has its end and the parent has not yet closed the
// same one.
func (e *evidence) inherited(child int, end *os.File) {
	if e == nil {
		return
	}
	e.child = child
	explain.Print(e.out, explain.Description(
		proc.FD{PID: child, FD: messagesFD},
		proc.FD{PID: os.Getpid(), FD: int(end.Fd())},
	))
}

// divided is when each process has closed the end that is not its.
func (e *evidence) divided() {
	if e != nil {
		explain.Print(e.out, explain.Holders(e.pipe, os.Getpid(), e.child)...)
	}
}

// delivered is after the first message: the child has printed it, and waits for
// the next, unless somebody has stopped it.
func (e *evidence) delivered(ctx context.Context) {
	if e != nil {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		explain.Print(e.out, explain.Waiting(ctx, e.child, "read", messagesFD))
	}
}

// parentClosed is after the parent has closed its end. The child learns of it at
// once, so what was seen is printed only behind what the child has to say.
func (e *evidence) parentClosed() {
	if e != nil {
		e.closed = explain.Holders(e.pipe, os.Getpid())
	}
}

// reaped is after wait4(2).
func (e *evidence) reaped(status syscall.WaitStatus) {
	if e != nil {
		explain.Print(e.out, e.closed...)
		explain.Print(e.out, fmt.Sprintf("process %d %s", e.child, howItEnded(status)))
	}
}
