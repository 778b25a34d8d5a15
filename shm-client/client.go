package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/lines"
	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/mailbox"
	"example.com/ipcsuite/pkg/sysv"
)

// quit is the message that ends both sides.
const quit = "quit"

var (
	errGone = errors.New("the server has gone")
	errDone = errors.New("all messages have been taken")
)

type client struct {
	env      *command.Env
	keyPath  string
	projID   int
	fifoPath string
	size     int // that the segment must have; 0: any
	quiet    bool
	prompt   bool

	gate *fifo.Writer
	slot *sysv.Segment

	// mu is held while a message is being sent, and not while the next one is
	// waited for: who holds it knows that the counts are final.
	mu            sync.Mutex
	box           *mailbox.Writer
	sent, refused int
	ended         bool // there will be no more messages
}

// source returns the next message and its length, which is all it returns of
// one that is too long. Its last error is io.EOF.
type source struct {
	kind string // what the messages are called in an error: line, argument
	next func() (text []byte, length int, err error)
}

func arguments(args []string) source {
	return source{"argument", func() ([]byte, int, error) {
		if len(args) == 0 {
			return nil, 0, io.EOF
		}
		text := []byte(args[0])
		args = args[1:]
		return text, len(text), nil
	}}
}

func (cl *client) stdin() source {
	input := lines.NewReader(cl.env.Stdin, cl.box.Max())
	return source{"line", func() ([]byte, int, error) {
		if cl.prompt {
			fmt.Fprint(cl.env.Stderr, "> ")
		}
		return input.Next()
	}}
}

// endPrompt keeps what follows off the line of a prompt that was not answered.
func (cl *client) endPrompt() {
	if cl.prompt {
		fmt.Fprintln(cl.env.Stderr)
	}
}

// send sends all messages of src and says how many did not arrive.
func (cl *client) send(ctx context.Context, src source) error {
	if cl.prompt {
		cl.env.Log.Notice().Msg("connected: type a message and press Enter, end with quit or Ctrl-D")
	}
	done := make(chan error, 1)
	go func() { done <- cl.sendAll(src) }()
	gone := make(chan struct{})
	go func() {
		if cl.gate.AwaitGone() == nil {
			close(gone)
		}
	}()
	var why error
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		why = context.Cause(ctx)
	case <-gone:
		why = fmt.Errorf("FIFO %s: %w", cl.fifoPath, errGone)
	}
	cl.mu.Lock()
	if cl.ended {
		return <-done // which knows better
	}
	// It waits for a message that may never come. It is left to itself, and
	// can send none, as mu stays locked.
	cl.endPrompt()
	return cl.failed(why, 0)
}

func (cl *client) sendAll(src source) error {
	for n := 1; ; n++ {
		text, length, err := src.next()
		cl.mu.Lock()
		switch {
		case err == nil:
			err = cl.sendOne(src.kind, n, text, length)
		case errors.Is(err, io.EOF):
			cl.endPrompt()
			err = cl.finish(nil)
		default:
			err = cl.finish(fmt.Errorf("read stdin: %w", err))
		}
		cl.ended = err != nil
		cl.mu.Unlock()
		switch {
		case errors.Is(err, errDone):
			return nil
		case err != nil:
			return err
		}
	}
}

// sendOne sends a message. It fails with errDone if it was the last.
func (cl *client) sendOne(kind string, n int, text []byte, length int) error {
	if length > cl.box.Max() {
		cl.refused++
		cl.env.Log.Error().Msgf("%s %d: %d bytes, at most %d are one message: not sent", kind, n, length, cl.box.Max())
		return nil
	}
	err := cl.box.Send(text)
	switch {
	case errors.Is(err, mailbox.ErrRefused):
		cl.refused++
		cl.env.Log.Error().Msgf("%s %d: %v: not sent", kind, n, err)
		return nil
	case err != nil:
		return cl.failed(err, 1)
	}
	cl.sent++
	if string(text) == quit {
		return cl.finish(nil)
	}
	return nil
}

// finish waits until the last message has been taken. It fails with why, or
// with errDone if all is well.
func (cl *client) finish(why error) error {
	err := cl.box.Flush()
	switch {
	case err != nil && why == nil:
		return cl.failed(err, 0)
	case why != nil:
		return cl.failed(why, 0)
	case cl.refused > 0:
		return fmt.Errorf("FIFO %s: messages not sent: %d of %d", cl.fifoPath, cl.refused, cl.sent+cl.refused)
	}
	return errDone
}

// failed adds to why how many messages have not arrived: the ones in hand, the
// one that still waits in the segment, and those refused.
func (cl *client) failed(why error, inHand int) error {
	if errors.Is(why, unix.EPIPE) {
		why = fmt.Errorf("%w: %w", errGone, why)
	}
	lost := inHand + cl.box.Undelivered() + cl.refused
	if lost == 0 {
		return why
	}
	return fmt.Errorf("%w: messages not delivered: %d of %d", why, lost, cl.sent+inHand+cl.refused)
}
