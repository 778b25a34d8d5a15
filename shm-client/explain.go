package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"

	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/internal/explain"
	"example.com/ipcsuite/internal/proc"
	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/sysv"
)

// evidence prints, after each step of the client, what the kernel shows of it. Without
// --explain there is none, and its methods do nothing.
type evidence struct{ out io.Writer } // standard error

func (e *evidence) print(lines ...string) {
	if e != nil {
		explain.Print(e.out, lines...)
	}
}

// found is after shmget(2), which makes nothing here.
func (e *evidence) found(key contract.Key, s *sysv.Segment) {
	if e == nil {
		return
	}
	if parts, err := key.Parts(); err == nil {
		e.print(parts.String())
	}
	e.print(
		fmt.Sprintf("key %v led to shmid %d, which from here on stands for it", s.Key(), s.ID()),
		explain.Segment(s.ID()))
}

// attached is after shmat(2). The address is this process's own: the server has
// the same memory at another.
func (e *evidence) attached(s *sysv.Segment) {
	if e == nil {
		return
	}
	e.print(explain.Segment(s.ID()))
	_ = s.Use(func(mem []byte) error { // it is attached
		e.print(explain.Place("segment", uintptr(unsafe.Pointer(&mem[0])))...)
		return nil
	})
}

// opened is after open(2) of the FIFO, which only says when the slot is full.
func (e *evidence) opened(path string) {
	if e == nil {
		return
	}
	object, err := proc.ObjectAt(path)
	if err != nil {
		e.print(fmt.Sprintf("FIFO %s: cannot be seen: %v", path, explain.Reason(err)))
		return
	}
	e.print(explain.Node(object))
	e.print(explain.Holders(object, os.Getpid())...)
	var live *fifo.LiveError
	if !errors.As(fifo.Live(path), &live) || len(live.PIDs) == 0 {
		e.print("who reads the FIFO cannot be seen: /proc shows no such process " +
			"(which takes the same user, or CAP_SYS_PTRACE, and the same PID namespace)")
		return
	}
	e.print(explain.Holders(object, live.PIDs...)...)
}
