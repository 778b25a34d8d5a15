package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"example.com/ipcsuite/internal/grace"
	"example.com/ipcsuite/pkg/fifo"
)

// stop ends the readers, after they have printed what is in the FIFO by now,
// and by force if that takes too long. It returns why.
func (s *server) stop(why error) error {
	// No new clients. Those that are there see EPIPE when all is closed.
	if err := s.fifo.Unlink(); err != nil {
		s.env.Log.Debug().Err(err).Msg("unlink")
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace.Period)
	defer cancel()
	told := make(chan struct{})
	go func(n int) {
		defer close(told)
		if err := s.fifo.StopReaders(ctx, n); err != nil {
			s.env.Log.Debug().Err(err).Msg("stop readers")
		}
	}(len(s.alive))
	for len(s.alive) > 0 {
		select {
		case e := <-s.exits:
			s.reaped(e)
		case <-ctx.Done():
			s.printing = false
			for _, cmd := range s.alive {
				_ = cmd.Process.Kill() // it may have ended just now
			}
			for len(s.alive) > 0 {
				s.reaped(<-s.exits)
			}
		}
	}
	cancel()
	<-told
	return why
}

// close removes the FIFO, and prints what came after the readers had ended. It
// fails if messages were lost.
func (s *server) close(ctx context.Context) error {
	// Without its name the FIFO gets no new writers; those that are there get
	// EPIPE once it is closed, and can count what they sent in vain.
	if err := s.fifo.Unlink(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.env.Log.Warn().Err(err).Msg("the FIFO stays")
	}
	defer s.fifo.Close()
	s.evidence.removed()
	if s.printing {
		s.lost += s.printRest(ctx)
	}
	if s.shared != nil {
		s.shared.Close()
	}
	unread, err := s.fifo.Shut()
	s.env.Log.Notice().Uint64("messages", s.ledger.printed()).Msg("removed FIFO")
	lost := s.lost + uint64(unread)
	switch {
	case err != nil:
		return fmt.Errorf("FIFO %s: messages not printed: at least %d: %w", s.path, lost, err)
	case lost > 0:
		return fmt.Errorf("FIFO %s: messages not printed: %d", s.path, lost)
	}
	return nil
}

// printRest prints the messages that are in the FIFO now, and not those that a
// client may go on to send. It returns how many of them could not be printed,
// which after a signal includes those that stdout does not take in time.
func (s *server) printRest(ctx context.Context) (lost uint64) {
	var rest [][]byte
	n, err := s.fifo.Pending()
	if err != nil {
		n = largePipe / fifo.Atomic // cannot be told: what there is room for
	}
	for buf := make([]byte, largePipe); n > 0; n-- {
		size, err := s.fifo.TryRead(buf)
		if err != nil {
			break // nothing is left
		}
		rest = append(rest, bytes.Clone(buf[:size]))
	}
	slot := &s.ledger.slots[s.readers]
	var work grace.Work
	_, _ = work.Run(ctx, grace.Rest, func() error { // what it cannot print is counted as lost
		out := newPrinter(work.Writer(s.env.Stdout), s.ledger, slot)
		for _, text := range rest {
			if err := out.message(text); err != nil {
				return err
			}
		}
		return out.flush()
	})
	return uint64(len(rest)) - slot.printed.Load()
}
