package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/client"
	"example.com/ipcsuite/pkg/mailbox"
)

// quit is the message that ends both sides.
const quit = "quit"

var (
	errGone = errors.New("the server has gone")
	errDone = errors.New("all messages have been taken")
)

type sender struct {
	connection
	stdin  bool // messages come from there, and may keep it waiting
	prompt bool
	sync   string        // what --sync says
	torn   bool          // with --torn
	pause  time.Duration // between the halves of a torn message

	// mu is held while a message is being sent, and not while the next one is
	// waited for: who holds it knows that the counts are final.
	mu            sync.Mutex
	box           outbox
	sent, refused int
	ended         bool // there will be no more messages
}

// makeBox decides how messages go into the segment.
func (s *sender) makeBox(ctx context.Context) (err error) {
	tearing := torn{ctx: ctx, gone: s.gone, slot: s.slot, pause: s.pause}
	if s.sync == syncNone {
		s.box = unasked{s.slot}
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

// endPrompt keeps what follows off the line of a prompt that was not answered.
func (s *sender) endPrompt() {
	if s.prompt {
		fmt.Fprintln(s.env.Stderr)
	}
}

// send sends all messages of src and says how many did not arrive.
func (s *sender) send(ctx context.Context, src client.Source) error {
	if s.prompt {
		s.env.Log.Notice().Msg("connected: type a message and press Enter, end with quit or Ctrl-D")
	}
	done := make(chan error, 1)
	go func() { done <- s.sendAll(src) }()
	gone := s.gone
	if !s.stdin {
		gone = nil // nothing keeps sendAll from meeting the end by itself
	}
	var why error
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		why = context.Cause(ctx)
	case <-gone:
		why = fmt.Errorf("FIFO %s: %w", s.server.Path, errGone)
	}
	s.mu.Lock()
	if s.ended {
		return <-done // which knows better
	}
	// It waits for a message that may never come. It is left to itself, and
	// can send none, as mu stays locked.
	s.endPrompt()
	return s.failed(why, 0)
}

func (s *sender) sendAll(src client.Source) error {
	for n := 1; ; n++ {
		text, length, err := src.Next()
		s.mu.Lock()
		switch {
		case err == nil:
			err = s.sendOne(src.Kind, n, text, length)
		case errors.Is(err, io.EOF):
			s.endPrompt()
			err = s.finish(nil)
		default:
			err = s.finish(fmt.Errorf("read stdin: %w", err))
		}
		s.ended = err != nil
		s.mu.Unlock()
		switch {
		case errors.Is(err, errDone):
			return nil
		case err != nil:
			return err
		}
	}
}

// sendOne sends a message. It fails with errDone if it was the last.
func (s *sender) sendOne(kind string, n int, text []byte, length int) error {
	if length > s.box.Max() {
		s.refused++
		s.env.Log.Error().Msgf("%s %d: %d bytes, at most %d are one message: not sent", kind, n, length, s.box.Max())
		return nil
	}
	last := string(text) == quit
	if s.sync == syncNone || s.torn && !last {
		text = numbered(s.sent+1, text)
	}
	err := s.box.Send(text)
	switch {
	case errors.Is(err, mailbox.ErrRefused):
		s.refused++
		s.env.Log.Error().Msgf("%s %d: %v: not sent", kind, n, err)
		return nil
	case err != nil:
		return s.failed(err, 1)
	}
	s.sent++
	if last {
		return s.finish(nil)
	}
	return nil
}

// finish waits until the last message has been taken. It fails with why, or
// with errDone if all is well.
func (s *sender) finish(why error) error {
	err := s.box.Flush()
	switch {
	case err != nil && why == nil:
		return s.failed(err, 0)
	case why != nil:
		return s.failed(why, 0)
	case s.refused > 0:
		return fmt.Errorf("FIFO %s: messages not sent: %d of %d", s.server.Path, s.refused, s.sent+s.refused)
	}
	return errDone
}

// failed adds to why how many messages have not arrived: the ones in hand, the
// one that still waits in the segment, and those refused.
func (s *sender) failed(why error, inHand int) error {
	if errors.Is(why, unix.EPIPE) {
		why = fmt.Errorf("%w: %w", errGone, why)
	}
	lost := inHand + s.box.Undelivered() + s.refused
	if lost == 0 {
		return why
	}
	return fmt.Errorf("%w: messages not delivered: %d of %d", why, lost, s.sent+inHand+s.refused)
}
