package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/mailbox"
	"example.com/ipcsuite/pkg/sysv"
)

// open connects to the server, and waits for one if told to.
func (s *sender) open(ctx context.Context) error {
	// To open the FIFO is to be a client, whose leaving may end the server:
	// see first whether the segment is the wanted one.
	_, err := s.findSegment()
	if err == nil || s.server.Wait > 0 && errors.Is(err, unix.ENOENT) {
		s.gate, err = s.server.Open(ctx, s.env.Log)
	}
	if err == nil {
		s.evidence.opened(s.server.Path)
		s.gone = make(chan struct{})
		go s.awaitGone()
	}
	// Only now for good. What was seen before may be a dead server's, but the
	// server at the other end of the FIFO has made its segment first.
	if err == nil {
		err = s.attach(ctx)
	}
	if err == nil {
		return nil
	}
	s.close()
	return s.server.Explain(err)
}

func (s *sender) findSegment() (*sysv.Segment, error) {
	key, err := sysv.Ftok(s.keyPath, s.projID)
	if err != nil {
		return nil, err
	}
	return sysv.Open(key, s.size)
}

// attach attaches the server's segment. Anyone can make one under a key that is
// easy to guess, before the server does: it must be of the same user as the
// FIFO, which in a folder of one's own nobody else can make.
func (s *sender) attach(ctx context.Context) error {
	segment, err := s.findSegment()
	if err != nil {
		return err
	}
	s.evidence.found(s.keyPath, s.projID, segment)
	if err := segment.Attach(); err != nil {
		return err
	}
	s.slot = segment
	s.evidence.attached(segment)
	info, err := segment.Stat()
	if err != nil {
		return err
	}
	owner, err := s.gate.Owner()
	if err != nil {
		return err
	}
	if !info.OwnedBy(owner) {
		return fmt.Errorf("FIFO %s belongs to uid %d, but its segment to another user (%v): %w: choose another --proj-id on both sides",
			s.server.Path, owner, info, unix.EPERM)
	}
	s.env.Log.Debug().Stringer("key", segment.Key()).Int("shmid", segment.ID()).Int("bytes", segment.Size()).Msg("attached segment")
	return s.makeBox(ctx)
}

// awaitGone ends with the server, or when the FIFO is closed.
func (s *sender) awaitGone() {
	if s.gate.AwaitGone() == nil {
		close(s.gone)
	}
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

// close closes what was opened, in whatever state. The FIFO last: with it the
// server learns that this side has left, and then it has.
func (s *sender) close() {
	if s.slot != nil {
		if err := s.slot.Detach(); err != nil {
			s.env.Log.Warn().Err(err).Msg("the segment stays attached")
		}
	}
	if s.gate != nil {
		_ = s.gate.Close() // never fails
	}
}
