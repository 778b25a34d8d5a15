package main

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"example.com/ipcsuite/internal/explain"
	"example.com/ipcsuite/internal/proc"
)

// evidence prints what the kernel shows of each step of the parent, with --explain.
type evidence struct {
	*explain.Evidence

	pipe   proc.Object // what both ends of the pipe for messages refer to
	child  int         // pid
	closed []string
}

// made is after pipe(2).
func (e *evidence) made(end *os.File) error {
	if !e.Wanted() {
		return nil
	}
	var err error
	if e.pipe, err = proc.ObjectOf(int(end.Fd())); err == nil {
		e.Object(e.pipe)
	}
	return err
}

// inherited is when the child has its end and the parent has not yet closed the
// same one.
func (e *evidence) inherited(child int, end *os.File) {
	e.child = child
	e.Inherited(child, messagesFD, end)
}

// divided is when each process has closed the end that is not its.
func (e *evidence) divided() { e.Holders(e.pipe, os.Getpid(), e.child) }

// delivered is after the first message: the child has printed it, and waits for
// the next, unless somebody has stopped it.
func (e *evidence) delivered(ctx context.Context) {
	if e.Wanted() {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		e.Print(explain.Waiting(ctx, e.child, "read", messagesFD))
	}
}

// parentClosed is after the parent has closed its end. The child learns of it at
// once, so what was seen is printed only behind what the child has to say.
func (e *evidence) parentClosed() {
	if e.Wanted() {
		e.closed = explain.Holders(e.pipe, os.Getpid())
	}
}

// reaped is after wait4(2).
func (e *evidence) reaped(status syscall.WaitStatus) {
	e.Print(e.closed...)
	e.Print(fmt.Sprintf("process %d %s", e.child, howItEnded(status)))
}
