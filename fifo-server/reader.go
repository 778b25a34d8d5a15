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

// standBack is how long a reader that finds nothing left stays away while another is at
// work. If it waited in the FIFO at once, the kernel would wake it whenever the other is
// faster than the client for a moment, and the two would be in each other's way: with
// three readers on two processors, that takes a fifth longer. If the other dies meanwhile,
// messages wait for that long.
const standBack = 50 * time.Millisecond

// readMessages is what a reader process runs: messages from the inherited FIFO
// to stdout, until the end of file.
func readMessages(ctx context.Context, args []string) int {
	r, err := openReader(args[0], args[1])
	code := readFailed
	if err == nil {
		stopWhenOrphaned(ctx, r.messages)
		code, err = r.run()
	}
	if err != nil && code != printFailed { // which the server reports, once
		fmt.Fprintf(os.Stderr, "fifo-server: reader %d: %v\n", os.Getpid(), err)
	}
	return code
}

// reader is one reader process.
type reader struct {
	messages *fifo.SharedReader
	ledger   *ledger
	index    int      // of its slot in the ledger
	seen     []uint64 // what othersAtWork has seen
	hand     hand
	out      *printer
}

// openReader opens what the reader has inherited. word and index are its arguments.
func openReader(word, index string) (*reader, error) {
	ledger, err := openLedger(os.NewFile(uintptr(fork.FD(1)), "ledger"))
	if err != nil {
		return nil, err
	}
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= len(ledger.slots) {
		return nil, fmt.Errorf("no place %q in the ledger", index)
	}
	hands, err := openHands(os.NewFile(uintptr(fork.FD(2)), "buffers"), ledger)
	if err != nil {
		return nil, err
	}
	r := &reader{
		ledger: ledger,
		index:  i,
		seen:   make([]uint64, len(ledger.slots)),
		hand:   hands.of(i),
		out:    newPrinter(os.Stdout, ledger, &ledger.slots[i]),
	}
	if r.messages, err = fifo.NewSharedReader(fork.FD(0), word); err != nil {
		return nil, err
	}
	return r, r.messages.SetBuffer(r.hand.buf)
}

// run prints messages until the end of file, or until the reader is stopped.
func (r *reader) run() (code int, err error) {
	for {
		text, err := r.next()
		switch {
		case err == nil:
			if err := r.out.message(text); err != nil {
				return printFailed, err
			}
		case errors.Is(err, io.EOF):
			r.out.line("read end of file, client quit, server quit too")
			return r.end(endOfFile)
		case errors.Is(err, fifo.ErrStopped):
			return r.end(stopped)
		case errors.Is(err, errPrint):
			return printFailed, err
		default:
			_ = r.out.flush()
			return readFailed, err
		}
	}
}

// next returns the next message. Before it waits for one, it prints what the reader has.
func (r *reader) next() ([]byte, error) {
	r.hand.expect(r.out.held)
	text, err := r.messages.TryNext()
	if !errors.Is(err, unix.EAGAIN) {
		return text, err
	}
	if err := r.out.flush(); err != nil {
		return nil, err
	}
	r.hand.slot.busy.Store(false)
	if r.ledger.othersAtWork(r.index, r.seen) {
		time.Sleep(standBack)
	}
	r.hand.expect(0)
	text, err = r.messages.Next()
	r.hand.slot.busy.Store(true)
	return text, err
}

// end prints what the reader has, and returns code.
func (r *reader) end(code int) (int, error) {
	r.hand.slot.hold(r.out.held) // it expects no other
	if err := r.out.flush(); err != nil {
		return printFailed, err
	}
	return code, nil
}
