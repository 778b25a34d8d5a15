package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/grace"
	"example.com/ipcsuite/internal/transfer"
	"example.com/ipcsuite/pkg/ring"
)

// segmentSize is what --size says, and with --stream the size of a segment with a ring of
// that capacity.
func segmentSize(c *cli.Context, stream bool) (int, error) {
	size, err := command.Size(c, "size", 1)
	switch {
	case err != nil || !stream:
		return size, err
	case c.Bool("keep-alive"):
		return 0, command.UsageErrorf("--keep-alive: a stream has one client and one end: start the server again for another")
	case !c.IsSet("size"):
		size = transfer.DefaultRing
	}
	return transfer.SegmentSize(size)
}

// attachRing makes a ring of the segment, of which the server must be able to
// say how much it has taken: it attaches it for writing too.
func (s *server) attachRing() error {
	if err := s.slot.Attach(); err != nil {
		return err
	}
	if err := ring.Format(s.slot); err != nil {
		return errors.Join(err, s.slot.Detach())
	}
	return nil
}

// streamAll writes to stdout what comes through the ring, until the client ends
// the stream, and compares with the client what that was.
//
// It is written by write(2), straight out of the ring. To a pipe, vmsplice(2)
// would save a copy, and must not: it hands over pages that are read later, when
// the client has filled them anew, and says nothing of when they have been.
func (s *server) streamAll(ctx context.Context) error {
	in, err := ring.NewReader(s.slot, s.gate)
	if err != nil {
		return err
	}
	in.SetSpin(transfer.Spin(in.Capacity()))
	s.gate.SetSpin(transfer.Spin(in.Capacity()))
	// While bytes keep coming, nothing but this ends the reading.
	defer context.AfterFunc(ctx, func() { _ = s.gate.Close() })()
	counter := transfer.NewCounter(s.sum)
	start := time.Now()
	s.left, err = s.work.Run(ctx, grace.Period, func() error { return s.writeAll(in, counter) })
	if !s.left {
		_ = in.Close() // never fails
	}
	total := counter.Total()
	if err != nil {
		return s.streamEnded(ctx, err, total)
	}
	s.env.Log.Notice().Int64("bytes", total.Bytes).Str("rate", transfer.Rate(total.Bytes, time.Since(start))).
		Msg("the stream has ended")
	return nil
}

// streamEnded adds to err, the early end of a stream, how much was written of it.
func (s *server) streamEnded(ctx context.Context, err error, total transfer.Total) error {
	if ctx.Err() != nil { // of which err is a consequence
		err = context.Cause(ctx)
	}
	if s.left {
		return fmt.Errorf("%w: %d bytes delivered, and some that stdout has not quite taken", err, total.Bytes)
	}
	return fmt.Errorf("%w: %d bytes delivered", err, total.Bytes)
}

func (s *server) writeAll(in *ring.Reader, counter *transfer.Counter) error {
	if s.evidence.Wanted() {
		if _, err := in.Peek(); err == nil { // or WriteTo says why not
			s.evidence.full(s.slot)
		}
	}
	_, err := in.WriteTo(counter.Writer(s.work.Writer(s.env.Stdout)))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("FIFO %s: the client has gone in mid-stream", s.fifoPath)
	}
	if err != nil {
		return err
	}
	return s.compare(counter.Total())
}

// compare compares what was written with what the client says that it has sent.
func (s *server) compare(total transfer.Total) error {
	sent, err := total.Agree(s.fifoPath, s.gate)
	if err == nil || errors.Is(err, transfer.ErrDiffers) {
		s.env.Log.Debug().Stringer("sent", sent).Stringer("delivered", total).Msg("compared")
	}
	if err != nil {
		return err
	}
	if total.Summed && !sent.Summed {
		s.env.Log.Warn().Msg("the client has no checksum: only the length was compared")
	}
	return nil
}
