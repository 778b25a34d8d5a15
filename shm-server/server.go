package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/internal/grace"
	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/mailbox"
	"example.com/ipcsuite/pkg/sysv"
)

type server struct {
	env       *command.Env
	key       contract.Key
	size      int
	mode      fs.FileMode
	fifoPath  string
	keepAlive bool
	sync      string // what --sync says
	report    bool   // count in any case, as --sync was given
	stream    bool   // a stream instead of messages
	sum       bool   // with a checksum, of a stream
	evidence  evidence

	slot *sysv.Segment
	fifo *fifo.FIFO
	gate *fifo.Reader
	line []byte // being printed

	work   grace.Work
	stdout io.Writer // of the work
	tally  tally
	lost   uint64 // messages overwritten, as far as it was said
	left   bool   // a write to stdout goes on that still uses the segment
}

// serve makes segment and FIFO, waits for a client, prints what comes, and
// removes both again.
func (s *server) serve(ctx context.Context) error {
	// The segment first: a client that can open the FIFO must find it.
	if err := s.createSegment(ctx); err != nil {
		return err
	}
	defer s.removeSegment()
	if err := s.createFIFO(ctx); err != nil {
		return err
	}
	defer s.removeFIFO()
	if s.sync == contract.SyncFIFO && !s.stream {
		// Before there is a client: it asks poll(2) whether there is room, and one in
		// another language need not set it itself.
		if _, err := s.fifo.SetCapacity(os.Getpagesize()); err != nil {
			return err
		}
	}
	if err := s.awaitClient(ctx); err != nil {
		return err
	}
	defer s.gate.Close() //nolint:errcheck // never fails
	switch {
	case s.stream:
		return s.streamAll(ctx)
	case s.sync == contract.SyncNone:
		return s.run(ctx, s.watch)
	}
	inbox, err := mailbox.NewReader(s.slot, s.gate)
	if err != nil {
		return err
	}
	return s.run(ctx, func(ctx context.Context) error { return s.printAll(ctx, inbox) })
}

func (s *server) createFIFO(ctx context.Context) (err error) {
	s.fifo, err = fifo.Create(ctx, s.fifoPath, fifo.Options{Mode: s.mode})
	if err != nil {
		return err
	}
	if s.fifo.Replaced() {
		s.env.Log.Notice().Str("path", s.fifoPath).Msg("took over a FIFO that a dead server had left")
	}
	s.env.Log.Notice().Str("path", s.fifoPath).Msg("created FIFO")
	return nil
}

// removeFIFO tells the clients: their next look at the FIFO says EPIPE.
func (s *server) removeFIFO() {
	if err := s.fifo.Remove(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.env.Log.Warn().Err(err).Msg("the FIFO stays")
		return
	}
	s.env.Log.Notice().Msg("removed FIFO")
}

// awaitClient blocks until a client has the FIFO open. A server that stays
// does not wait: it holds a write end itself.
func (s *server) awaitClient(ctx context.Context) (err error) {
	log := s.env.Log
	client := "shm-client"
	switch {
	case s.stream:
		client += " --stream"
	case s.sync == contract.SyncNone:
		client += " --sync none"
	}
	if s.keepAlive {
		log.Notice().Msgf("serving until Ctrl-C or quit: run %s in another terminal", client)
		if err := s.fifo.KeepOpen(); err != nil {
			return err
		}
		s.gate, err = s.fifo.OpenReader(ctx)
		return err
	}
	log.Notice().Msgf("waiting for a client: run %s in another terminal", client)
	if s.gate, err = s.fifo.OpenReader(ctx); err != nil {
		return err
	}
	log.Notice().Msg("a client has come")
	return nil
}

// run calls printAll, which prints until quit, the end of the last client, or ctx's. If
// the write to stdout is still blocked [grace.Period] later, printAll is left behind.
func (s *server) run(ctx context.Context, printAll func(context.Context) error) error {
	s.stdout = s.work.Writer(s.env.Stdout)
	left, err := s.work.Run(ctx, grace.Period, func() error { return printAll(ctx) })
	if left {
		return s.notPrinted(err)
	}
	return err
}

// printAll blocks in Peek, or in the write to stdout. The slot is freed only when
// its text has been printed: what a client takes for delivered is printed, also
// if this process is killed at any moment.
func (s *server) printAll(ctx context.Context, inbox *mailbox.Reader) error {
	log := s.env.Log
	defer s.reportTally()
	defer s.evidence.left(s.slot)
	for printed := 0; ; {
		if s.evidence.Wanted() && s.gate.Await() == nil { // or Peek says why not
			s.evidence.full(s.slot)
		}
		text, err := inbox.Peek()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return s.printLast(ctx, inbox)
		case errors.Is(err, io.EOF):
			log.Notice().Int("messages", printed).Msg("the client has left")
			return nil
		case errors.Is(err, mailbox.ErrMalformed):
			log.Warn().Err(err).Msg("another program than shm-client uses the mailbox")
			continue
		default:
			return err
		}
		s.tally.message(text)
		if err := s.print(text); err != nil {
			return s.notPrinted(err)
		}
		printed++
		if err := s.free(inbox); err != nil {
			return err
		}
		if string(text) == contract.Quit {
			log.Notice().Int("messages", printed).Msg("quit")
			if s.pending() > 0 {
				log.Warn().Msg("a message that came after quit is not printed: its client is told")
			}
			return nil
		}
	}
}

// free frees the slot, and says what other clients than ours have done to it since the
// last time.
func (s *server) free(inbox *mailbox.Reader) error {
	err := inbox.Free()
	if errors.Is(err, mailbox.ErrMalformed) {
		s.env.Log.Warn().Err(err).Msg("another program than shm-client uses the mailbox")
		err = nil
	}
	if now := inbox.Lost(); err == nil && now > s.lost {
		s.env.Log.Warn().Uint64("messages", now-s.lost).Msg("lost: overwritten by a client that does not wait for its turn")
		s.lost = now
	}
	return err
}

// printLast prints what is in the mailbox when a signal has come.
func (s *server) printLast(ctx context.Context, inbox *mailbox.Reader) error {
	why := context.Cause(ctx)
	text, err := inbox.TryPeek()
	if err != nil {
		return why
	}
	if s.print(text) != nil {
		return s.notPrinted(why)
	}
	_ = inbox.Free() // it was printed, whatever the FIFO held
	return why
}

// print writes a message at once. To collect several would save nothing: the
// next one is on its way only when this one has been taken.
func (s *server) print(text []byte) error {
	s.line = append(append(s.line[:0], text...), '\n')
	_, err := s.stdout.Write(s.line)
	return err
}

// notPrinted adds to why whether a message is in the slot. It is the one being printed,
// and its client counts it too.
func (s *server) notPrinted(why error) error {
	return fmt.Errorf("%w: messages not printed: %d", why, s.pending())
}

// pending is the number of messages in the mailbox.
func (s *server) pending() int {
	if bytes, err := s.gate.Pending(); err != nil || bytes == 0 {
		return 0
	}
	return 1
}
