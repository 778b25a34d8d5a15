package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/client"
	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/pkg/fifo"
)

type sender struct {
	env    *command.Env
	server client.Server
	prompt bool

	evidence *evidence // nil without --explain
	fifo     *fifo.Writer

	// mu is held while a message is being sent, and not while the next one is
	// waited for: who holds it knows that the counts are final.
	mu                    sync.Mutex
	sent, refused, failed int
}

// open connects to the server, and waits for one if told to.
func (s *sender) open(ctx context.Context) (err error) {
	s.fifo, err = s.server.Open(ctx, s.env.Log)
	if err == nil {
		s.evidence.opened()
	}
	return s.server.Explain(err)
}

// send sends all messages of src and says how many did not arrive.
func (s *sender) send(ctx context.Context, src client.Source) error {
	defer s.fifo.Close() //nolint:errcheck // never fails
	if s.prompt {
		s.env.Log.Notice().Msg("connected: type a message and press Enter, end with Ctrl-D")
	}
	done := make(chan error, 1)
	go func() { done <- s.sendAll(src) }()
	gone := make(chan struct{})
	if s.prompt { // who types wants to know at once; to watch slows a stream down
		go func() {
			if s.fifo.AwaitGone() == nil {
				close(gone)
			}
		}()
	}
	var err error
	select {
	case err = <-done:
	case <-gone:
		err = fmt.Errorf("FIFO %s: the server has gone", s.server.Path)
	case <-ctx.Done():
		// It may wait for a line that never comes, and is left to itself.
		err = context.Cause(ctx)
	}
	if s.prompt && !errors.Is(err, unix.EPIPE) {
		fmt.Fprintln(s.env.Stderr) // the last prompt was not answered
	}
	s.mu.Lock() // for good: nothing is sent from here on
	return s.account(err)
}

func (s *sender) sendAll(src client.Source) error {
	for n := 1; ; n++ {
		text, length, err := src.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read stdin: %w", err)
		}
		if err := s.sendOne(src.Kind, n, text, length); err != nil {
			return err
		}
	}
}

func (s *sender) sendOne(kind string, n int, text []byte, length int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if length > fifo.Atomic {
		s.refused++
		s.env.Log.Error().Msgf("%s %d: %d bytes, at most %d are one message: not sent", kind, n, length, fifo.Atomic)
		return nil
	}
	if length == 0 {
		text = []byte("\n") // a pipe cannot carry nothing
	}
	_, err := s.fifo.Write(text)
	switch {
	case err == nil:
		s.sent++
		s.evidence.sent(len(text))
		return nil
	case errors.Is(err, unix.EPIPE):
		err = fmt.Errorf("the server has gone: %w", err)
	}
	s.failed++
	return err
}

// account adds to err, the end of the sending, how many messages no server has
// got. What was sent and is in the FIFO is as good as delivered while there is
// a server to read it, and lost when there is none.
func (s *sender) account(err error) error {
	lost := s.refused + s.failed
	if s.fifo.PeerGone() {
		unread, _ := s.fifo.Unread()
		lost += unread
		if err == nil && unread > 0 {
			err = fmt.Errorf("FIFO %s: the server has gone", s.server.Path)
		}
	}
	total := s.sent + s.refused + s.failed
	switch {
	case lost == 0:
		return err
	case err == nil:
		return fmt.Errorf("FIFO %s: messages not delivered: %d of %d", s.server.Path, lost, total)
	}
	return fmt.Errorf("%w: messages not delivered: %d of %d", err, lost, total)
}
