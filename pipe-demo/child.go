package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fork"
	"example.com/ipcsuite/pkg/pipe"
)

const childRole = "child"

// printFailed is the exit code of a child that could not print, which the parent
// reports.
const printFailed = 3

// The child's descriptors, in the order in which the parent hands them over.
var (
	messagesFD = fork.FD(0)
	printedFD  = fork.FD(1)
)

// printMessages is what the child runs: it prints messages until the end of
// file, and says after each that it has. A parent that dies is an end of file
// too, so the context is not needed.
func printMessages(context.Context, []string) int {
	code, err := printAll()
	if err != nil && code != printFailed {
		fmt.Fprintf(os.Stderr, "pipe-demo: child %d: %v\n", os.Getpid(), err)
	}
	return code
}

func printAll() (int, error) {
	buf := make([]byte, pipe.Atomic)
	for {
		n, err := unix.Read(messagesFD, buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 1, fmt.Errorf("read the pipe: %w", os.NewSyscallError("read", err))
		case n == 0:
			if _, err := fmt.Println("Pipe close, child quit!!!"); err != nil {
				return printFailed, err
			}
			return 0, nil
		}
		if _, err := fmt.Printf("child pid :%d   %s\n", os.Getpid(), buf[:n]); err != nil {
			return printFailed, err
		}
		// It fails only where the parent has died, which the next read shows.
		_, _ = unix.Write(printedFD, []byte{1})
	}
}
