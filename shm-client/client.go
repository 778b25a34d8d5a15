package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/client"
	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/internal/grace"
	"example.com/ipcsuite/pkg/mailbox"
)

// errQuit ends the sending after the message that ends both sides.
var errQuit = errors.New(contract.Quit)

type sender struct {
	connection
	input client.Input
	sync  string        // what --sync says
	torn  bool          // with --torn
	pause time.Duration // between the halves of a torn message

	box                   outbox
	work                  grace.Work // guards the counts, of messages
	sent, refused, failed int
}

// outbox is a way to send texts through the segment. Its methods are those of
// [mailbox.Writer], which is the way that loses nothing.
type outbox interface {
	Max() int
	Send(text []byte) error
	Flush() error
	Undelivered() int
}

// makeBox decides how messages go into the segment.
func (s *sender) makeBox() (err error) {
	tearing := torn{live: s.live, slot: s.slot, pause: s.pause}
	if s.sync == contract.SyncNone {
		s.box = unsynced{s.slot}
	} else {
		tearing.gate = s.gate
		s.box, err = mailbox.NewWriter(s.slot, s.gate)
	}
	if s.torn {
		tearing.outbox = s.box
		s.box = tearing
	}
	return err
}

// send sends all messages and says how many did not arrive. It may be waiting for a line
// that never comes when ctx is done or the server has gone.
func (s *sender) send(ctx context.Context) error {
	if s.input.Prompts() {
		s.env.Log.Notice().Msg("connected: type a message and press Enter, end with quit or Ctrl-D")
	}
	if len(s.input.Arguments) == 0 {
		ctx = s.live // with arguments, the next Send or Flush notices the server's end
	}
	source := s.input.Source(s.box.Max())
	left, err := s.work.Run(ctx, 0, func() error {
		return s.finish(source.Each(&s.work, s.sendOne))
	})
	if left {
		s.input.EndPrompt()
	}
	return s.account(err)
}

// sendOne sends a message. It fails with errQuit if that was the last.
func (s *sender) sendOne(m client.Message) error {
	if err := m.Fits(s.box.Max()); err != nil {
		return s.refuse(m, err)
	}
	text, last := m.Text, string(m.Text) == contract.Quit
	if s.sync == contract.SyncNone || s.torn && !last {
		text = contract.Numbered(s.sent+1, text)
	}
	err := s.box.Send(text)
	switch {
	case errors.Is(err, mailbox.ErrRefused):
		return s.refuse(m, err)
	case err != nil:
		s.failed++
		return err
	}
	s.sent++
	if last {
		return errQuit
	}
	return nil
}

// refuse says why a message is not sent. The others are.
func (s *sender) refuse(m client.Message, why error) error {
	s.refused++
	s.env.Log.Error().Msgf("%v: %v: not sent", m, why)
	return nil
}

// finish waits until the last message has been taken. why is the end of the sending, nil
// if there are no more messages.
func (s *sender) finish(why error) error {
	if why == nil {
		s.input.EndPrompt()
	}
	err := s.box.Flush()
	if why == nil || errors.Is(why, errQuit) {
		return err
	}
	return why
}

// account adds to why, the end of the sending, how many messages have not arrived.
func (s *sender) account(why error) error {
	total := s.sent + s.failed + s.refused
	if why == nil && s.refused > 0 {
		return fmt.Errorf("FIFO %s: messages not sent: %d of %d", s.server.Path, s.refused, total)
	}
	if errors.Is(why, unix.EPIPE) {
		why = fmt.Errorf("%w: %w", errGone, why)
	}
	lost := s.failed + s.box.Undelivered() + s.refused
	if why == nil || lost == 0 {
		return why
	}
	return fmt.Errorf("%w: messages not delivered: %d of %d", why, lost, total)
}
