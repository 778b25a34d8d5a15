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

// The child's descriptors, in the order in which the parent hands them over.
var (
	messagesFD = fork.FD(0)
	printedFD  = fork.FD(1)
)

// printMessages is what the child runs: it prints messages until the end of
// file, and says after each that it has. A parent that dies is an end of file
// too, so the context is not needed.
func printMessages(context.Context, []string) int {
	if err := printAll(); err != nil {
		if !errors.Is(err, unix.EPIPE) { // stdout closed: the parent says so
			fmt.Fprintf(os.Stderr, "pipe-demo: child %d: %v\n", os.Getpid(), err)
		}
		return 1
	}
	return 0
}

func printAll() error {
	buf := make([]byte, pipe.Atomic)
	for {
		n, err := unix.Read(messagesFD, buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("read the pipe: %w", os.NewSyscallError("read", err))
		case n == 0:
			_, err := fmt.Println("Pipe close, child quit!!!")
			return err
		}
		if _, err := fmt.Printf("child pid :%d   %s\n", os.Getpid(), buf[:n]); err != nil {
			return err
		}
		// It fails only where the parent has died, which the next read shows.
		_, _ = unix.Write(printedFD, []byte{1})
	}
}
