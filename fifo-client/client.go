package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/client"
	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/grace"
	"example.com/ipcsuite/pkg/fifo"
)

type sender struct {
	env    *command.Env
	server client.Server
	input  client.Input

	evidence evidence
	fifo     *fifo.Writer

	work                  grace.Work // guards the counts, of messages
	sent, refused, failed int
}

// open connects to the server, and waits for one if told to.
func (s *sender) open(ctx context.Context) (err error) {
	s.fifo, err = s.server.Open(ctx, s.env.Log)
	if err == nil {
		s.evidence.opened()
	}
	return s.server.Advise(err)
}

// send sends all messages and says how many did not arrive. It may be waiting for a line
// that never comes when ctx is done, or when the server of a person who types has gone.
func (s *sender) send(ctx context.Context) error {
	defer s.fifo.Close() //nolint:errcheck // never fails
	if s.input.Prompts() {
		s.env.Log.Notice().Msg("connected: type a message and press Enter, end with Ctrl-D")
		var stop context.CancelCauseFunc
		ctx, stop = context.WithCancelCause(ctx)
		defer stop(nil)
		go s.watch(stop) // which would slow a stream down
	}
	source := s.input.Source(fifo.Atomic)
	_, err := s.work.Run(ctx, 0, func() error { return source.Each(&s.work, s.sendOne) })
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, cause) {
		err = cause // and not which call it has ended
	}
	if !errors.Is(err, unix.EPIPE) {
		s.input.EndPrompt()
	}
	return s.account(err)
}

// watch stops the sending when the server goes.
func (s *sender) watch(stop context.CancelCauseFunc) {
	if s.fifo.AwaitGone() == nil {
		stop(s.gone())
	}
}

func (s *sender) gone() error { return fmt.Errorf("FIFO %s: the server has gone", s.server.Path) }

func (s *sender) sendOne(m client.Message) error {
	if err := m.Fits(fifo.Atomic); err != nil {
		s.refused++
		s.env.Log.Error().Msgf("%v: %v: not sent", m, err)
		return nil
	}
	text := m.Text
	if m.Length == 0 {
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
// got. A message that is in the FIFO counts as delivered while there is a server to read
// it, and as lost when there is none.
func (s *sender) account(err error) error {
	lost := s.refused + s.failed
	if s.fifo.PeerGone() {
		unread, _ := s.fifo.Unread()
		lost += unread
		if err == nil && unread > 0 {
			err = s.gone()
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
