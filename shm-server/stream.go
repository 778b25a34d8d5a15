package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/stream"
	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/ring"
)

// segmentSize is what --size says, which with --stream is that of the ring in
// the segment, and whether the flags go together.
func segmentSize(c *cli.Context) (int, error) {
	size := c.Int("size")
	streams := c.Bool("stream")
	switch {
	case size < 1:
		return 0, command.UsageErrorf("--size %d: want a number of bytes, at least 1", size)
	case c.Bool("no-checksum") && !streams:
		return 0, command.UsageErrorf("--no-checksum: only --stream has one")
	case !streams:
		return size, nil
	case c.String("sync") == syncNone:
		return 0, command.UsageErrorf("--sync none: a stream always waits for its reader: leave out --sync or --stream")
	case c.Bool("keep-alive"):
		return 0, command.UsageErrorf("--keep-alive: a stream has one client and one end: start the server again for another")
	case !c.IsSet("size"):
		size = stream.DefaultRing
	}
	if size+ring.Overhead < size {
		return 0, command.UsageErrorf("--size %d: that is more than there are addresses", size)
	}
	return size + ring.Overhead, nil
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
	in.SetSpin(stream.Spin(in.Capacity()))
	s.gate.SetSpin(stream.Spin(in.Capacity()))
	// While bytes keep coming, nothing but this ends the reading.
	defer context.AfterFunc(ctx, func() { _ = s.gate.Close() })()
	flow := stream.NewFlow(s.sum)
	start := time.Now()
	s.left, err = flow.Run(func() error { return s.writeAll(in, flow) }, ctx.Done(), stopTime)
	if !s.left {
		_ = in.Close() // never fails
	}
	total := flow.Total()
	switch {
	case s.left:
		return fmt.Errorf("%w: %d bytes delivered, and some that stdout has not quite taken", context.Cause(ctx), total.Bytes)
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("%w: %d bytes delivered", context.Cause(ctx), total.Bytes)
	case err != nil:
		return fmt.Errorf("%w: %d bytes delivered", err, total.Bytes)
	}
	s.env.Log.Notice().Int64("bytes", total.Bytes).Str("rate", stream.Rate(total.Bytes, time.Since(start))).
		Msg("the stream has ended")
	return nil
}

func (s *server) writeAll(in *ring.Reader, flow *stream.Flow) error {
	if s.evidence != nil {
		if _, err := in.Peek(); err == nil { // or WriteTo says why not
			s.evidence.full(s.slot)
		}
	}
	_, err := in.WriteTo(flow.Writer(s.env.Stdout))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("FIFO %s: the client has gone in mid-stream", s.fifoPath)
	}
	if err != nil {
		return err
	}
	return s.compare(flow.Total())
}

// compare compares what was written with what the client says that it has sent.
// If that is the same, it takes the token that the client leaves behind its
// words; otherwise the token stays, and the client is told by the end of the
// FIFO.
func (s *server) compare(total stream.Total) error {
	packet, err := s.nextPacket()
	if err != nil {
		return err
	}
	if len(packet) == 1 { // a token that the ring has left over
		if packet, err = s.nextPacket(); err != nil {
			return err
		}
	}
	sent, err := stream.Parse(string(packet))
	if err != nil {
		return fmt.Errorf("FIFO %s: %w", s.fifoPath, err)
	}
	s.env.Log.Debug().Stringer("sent", sent).Stringer("delivered", total).Msg("compared")
	if err := total.Compare(sent); err != nil {
		return err
	}
	if total.Summed && !sent.Summed {
		s.env.Log.Warn().Msg("the client has no checksum: only the length was compared")
	}
	_, err = s.nextPacket()
	return err
}

// nextPacket waits for what the client has to say behind its stream.
func (s *server) nextPacket() ([]byte, error) {
	packet := make([]byte, fifo.Atomic)
	n, err := s.gate.Read(packet)
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("FIFO %s: the client has gone before it could say what it had sent", s.fifoPath)
	}
	return packet[:n], err
}
