package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/fork"
)

const readerRole = "reader"

// Exit codes by which a reader tells the server how it ended.
const (
	endOfFile   = 0
	readFailed  = 1
	printFailed = 3
	stopped     = 4
)

// standBack is how long a reader that finds nothing left stays away while
// another is at work. Were it to wait in the FIFO at once, the kernel would wake
// it as soon as the other is faster than the client for a moment, and the two
// would spend their time in each other's way: it takes a fifth longer with three
// readers on two processors. Should the other die meanwhile, messages wait for
// that long.
const standBack = 50 * time.Millisecond

// readMessages is what a reader process runs: messages from the inherited FIFO
// to stdout, until the end of file.
func readMessages(ctx context.Context, args []string) int {
	code, err := read(ctx, args[0], args[1])
	if err != nil && code != printFailed { // which the server reports, once
		fmt.Fprintf(os.Stderr, "fifo-server: reader %d: %v\n", os.Getpid(), err)
	}
	return code
}

func read(ctx context.Context, word, index string) (int, error) {
	ledger, err := openLedger(os.NewFile(uintptr(fork.FD(1)), "ledger"))
	if err != nil {
		return readFailed, err
	}
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= len(ledger.slots) {
		return readFailed, fmt.Errorf("no place %q in the ledger", index)
	}
	hands, err := openHands(os.NewFile(uintptr(fork.FD(2)), "buffers"), ledger)
	if err != nil {
		return readFailed, err
	}
	hand := hands.of(i)
	messages, err := fifo.NewSharedReader(fork.FD(0), word)
	if err == nil {
		err = messages.SetBuffer(hand.buf)
	}
	if err != nil {
		return readFailed, err
	}
	slot := &ledger.slots[i]
	out := newPrinter(os.Stdout, ledger, slot)
	seen := make([]uint64, len(ledger.slots))

	// Asleep in Next, a reader cannot see that the server was killed. It is
	// stopped as the server would have done it, or what it is given at that moment
	// would be lost. Where it cannot be, it ends with the grace of package fork.
	context.AfterFunc(ctx, func() { _ = messages.StopOne(context.WithoutCancel(ctx)) })
	for {
		hand.expect(out.held)
		text, err := messages.TryNext()
		if errors.Is(err, unix.EAGAIN) {
			if err := out.flush(); err != nil {
				return printFailed, err
			}
			slot.busy.Store(false)
			if ledger.othersAtWork(i, seen) {
				time.Sleep(standBack)
			}
			hand.expect(0)
			text, err = messages.Next()
			slot.busy.Store(true)
		}
		switch {
		case err == nil:
			err = out.message(text)
		case errors.Is(err, io.EOF):
			out.line("read end of file, client quit, server quit too")
			return end(out, endOfFile)
		case errors.Is(err, fifo.ErrStopped):
			return end(out, stopped)
		default:
			_ = out.flush()
			return readFailed, err
		}
		if err != nil {
			return printFailed, err
		}
	}
}

func end(out *printer, code int) (int, error) {
	out.slot.hold(out.held) // it expects no other
	if err := out.flush(); err != nil {
		return printFailed, err
	}
	return code, nil
}
