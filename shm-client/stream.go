package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/stream"
	"example.com/ipcsuite/pkg/ring"
)

// errNotConfirmed is when the server leaves without having said that what it has
// written is what was sent; it has said why not.
var errNotConfirmed = errors.New("the server has written all, and does not confirm that it is what was sent: see what it says")

// streamer sends stdin through a ring.
type streamer struct {
	connection
	sum   bool // with a checksum
	quiet bool
}

func streamCommand(ctx context.Context, to connection, c *cli.Context) error {
	switch {
	case !c.Bool("stream"):
		return command.UsageErrorf("--no-checksum: only --stream has one")
	case c.Args().Present():
		return command.UsageErrorf("argument %q: with --stream, what is sent comes from stdin", c.Args().First())
	case c.String("sync") == syncNone:
		return command.UsageErrorf("--sync none: a stream always waits for its reader: leave out --sync or --stream")
	case c.Bool("torn"):
		return command.UsageErrorf("--torn: a stream has no messages to write in halves: leave out --torn or --stream")
	case to.size+ring.Overhead < to.size:
		return command.UsageErrorf("--size %d: that is more than there are addresses", to.size)
	}
	to.stream = true
	if to.size > 0 {
		to.size += ring.Overhead
	}
	s := &streamer{connection: to, sum: !c.Bool("no-checksum"), quiet: c.Bool("quiet")}
	if err := s.open(ctx); err != nil {
		return err
	}
	defer s.close()
	return s.send(ctx)
}

// send sends stdin, and says how much of it the server has written.
func (s *streamer) send(ctx context.Context) error {
	// The lock is for as long as the process has the FIFO open.
	if err := s.gate.TryLock(); errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("FIFO %s: another client streams to this server: try again when it has ended: %w", s.server.Path, unix.EBUSY)
	} else if err != nil {
		return err
	}
	out, err := ring.NewWriter(s.slot, s.gate)
	if err != nil {
		return err
	}
	out.SetSpin(stream.Spin(out.Capacity()))
	s.gate.SetSpin(stream.Spin(out.Capacity()))
	stop, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-s.gone:
			cancel(errGone)
		case <-stop.Done():
		}
	}()

	flow := stream.NewFlow(s.sum)
	progress := newProgress(s.env, s.quiet)
	start := time.Now()
	left, err := flow.Run(func() error { return s.sendAll(out, flow, progress) }, stop.Done(), 0)
	progress.end()
	took, total := time.Since(start), flow.Total()
	lost := int64(out.Undelivered())
	if left { // with the segment in use, until the process ends
		s.slot, err = nil, context.Cause(stop)
	} else {
		_ = out.Close() // never fails
	}
	switch {
	case err == nil:
		if !s.quiet {
			s.env.Log.Notice().Int64("bytes", total.Bytes).Str("rate", stream.Rate(total.Bytes, took)).Msg("delivered")
		}
		return nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.Is(err, unix.EPIPE):
		err = fmt.Errorf("FIFO %s: %w: %w", s.server.Path, errGone, unix.EPIPE)
	case errors.Is(err, errGone):
		err = fmt.Errorf("FIFO %s: %w", s.server.Path, err)
	}
	return fmt.Errorf("%w: %d bytes delivered of %d read", err, total.Bytes-lost, total.Bytes)
}

// sendAll returns when the server has written all and confirmed it.
//
// Stdin is read by read(2), straight into the ring. To map a file and copy it
// from there took 0.114 s a GiB instead of 0.091, as each page is a page fault or
// a part of one; splice(2) moves bytes between descriptors, of which a ring has
// none.
func (s *streamer) sendAll(out *ring.Writer, flow *stream.Flow, progress *progress) error {
	if err := readAhead(out, flow, s.env.Stdin, progress.passed); err != nil {
		return err
	}
	if _, err := out.ReadFrom(flow.Reader(s.env.Stdin, progress.passed)); err != nil {
		return err
	}
	if err := out.End(); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return s.confirm(flow.Total())
}

// confirm sends the total, and behind it a token, which the server takes when it
// agrees. The FIFO has room for one packet, so the token is written when the
// total has been read.
func (s *streamer) confirm(total stream.Total) error {
	if _, err := s.gate.Write([]byte(total.String())); err != nil {
		return err
	}
	if _, err := s.gate.Write([]byte{0}); errors.Is(err, unix.EPIPE) {
		return errNotConfirmed
	} else if err != nil {
		return err
	}
	err := s.gate.Await()
	if !errors.Is(err, unix.EPIPE) {
		return err
	}
	// It is gone as soon as it has taken the token, and also if it has not.
	if left, err := s.gate.Unread(); err != nil || left > 0 {
		return errNotConfirmed
	}
	return nil
}
