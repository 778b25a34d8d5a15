package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/lines"
	"example.com/ipcsuite/pkg/fifo"
)

type client struct {
	env    *command.Env
	path   string
	quiet  bool
	prompt bool

	fifo *fifo.Writer

	// mu is held while a message is being sent, and not while the next one is
	// waited for: who holds it knows that the counts are final.
	mu                    sync.Mutex
	sent, refused, failed int
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
	input := lines.NewReader(cl.env.Stdin, fifo.Atomic)
	return source{"line", func() ([]byte, int, error) {
		if cl.prompt {
			fmt.Fprint(cl.env.Stderr, "> ")
		}
		return input.Next()
	}}
}

// open connects to the server, and waits for one if told to.
func (cl *client) open(ctx context.Context, wait time.Duration) (err error) {
	if wait == 0 {
		cl.fifo, err = fifo.OpenWriter(ctx, cl.path, fifo.NoWait)
	} else {
		if !cl.quiet {
			cl.env.Log.Notice().Str("path", cl.path).Dur("for_ms", wait).Msg("waiting for a server: run fifo-server in another terminal")
		}
		// The time is for the opening only: the Writer lives on with ctx.
		opening, cancel := context.WithCancelCause(ctx)
		timer := time.AfterFunc(wait, func() { cancel(fmt.Errorf("no server within %v", wait)) })
		cl.fifo, err = fifo.OpenWriter(opening, cl.path, fifo.WaitPath)
		if !timer.Stop() && err == nil { // both at once
			_ = cl.fifo.Close()
			err = context.Cause(opening)
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%w: start fifo-server, or give it time with --wait", err)
	case errors.Is(err, unix.ENXIO):
		return fmt.Errorf("%w: its server has died: start fifo-server again, or give it time with --wait", err)
	}
	return err
}

// send sends all messages of src and says how many did not arrive.
func (cl *client) send(ctx context.Context, src source) error {
	defer cl.fifo.Close() //nolint:errcheck // never fails
	if cl.prompt {
		cl.env.Log.Notice().Msg("connected: type a message and press Enter, end with Ctrl-D")
	}
	done := make(chan error, 1)
	go func() { done <- cl.sendAll(src) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		// It may wait for a line that never comes, and is left to itself.
		err = context.Cause(ctx)
	}
	cl.mu.Lock() // for good: nothing is sent from here on
	return cl.account(err)
}

func (cl *client) sendAll(src source) error {
	for n := 1; ; n++ {
		text, length, err := src.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read stdin: %w", err)
		}
		if err := cl.sendOne(src.kind, n, text, length); err != nil {
			return err
		}
	}
}

func (cl *client) sendOne(kind string, n int, text []byte, length int) error {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if length > fifo.Atomic {
		cl.refused++
		cl.env.Log.Error().Msgf("%s %d: %d bytes, at most %d are one message: not sent", kind, n, length, fifo.Atomic)
		return nil
	}
	if length == 0 {
		text = []byte("\n") // a pipe cannot carry nothing
	}
	_, err := cl.fifo.Write(text)
	switch {
	case err == nil:
		cl.sent++
		return nil
	case errors.Is(err, unix.EPIPE):
		err = fmt.Errorf("the server has gone: %w", err)
	}
	cl.failed++
	return err
}

// account adds to err, the end of the sending, how many messages no server has
// got. What was sent and is in the FIFO is as good as delivered while there is
// a server to read it, and lost when there is none.
func (cl *client) account(err error) error {
	lost := cl.refused + cl.failed
	if cl.fifo.PeerGone() {
		unread, _ := cl.fifo.Unread()
		lost += unread
		if err == nil && unread > 0 {
			err = fmt.Errorf("FIFO %s: the server has gone", cl.path)
		}
	}
	total := cl.sent + cl.refused + cl.failed
	switch {
	case lost == 0:
		return err
	case err == nil:
		return fmt.Errorf("FIFO %s: messages not delivered: %d of %d", cl.path, lost, total)
	}
	return fmt.Errorf("%w: messages not delivered: %d of %d", err, lost, total)
}
