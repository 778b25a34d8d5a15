package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/grace"
	"example.com/ipcsuite/internal/transfer"
	"example.com/ipcsuite/pkg/ring"
)

// streamer sends stdin through a ring.
type streamer struct {
	connection
	quiet bool

	out     *ring.Writer
	work    grace.Work // guards what follows
	counter *transfer.Counter
	passed  io.Writer // told of all that was read: the counter, and the progress
}

func streamCommand(ctx context.Context, to connection, c *cli.Context) error {
	switch {
	case c.Args().Present():
		return command.UsageErrorf("argument %q: with --stream, what is sent comes from stdin", c.Args().First())
	case c.Bool("torn"):
		return command.UsageErrorf("--torn: a stream has no messages to write in halves: leave out --torn or --stream")
	}
	to.stream = true
	if to.size > 0 {
		var err error
		if to.size, err = transfer.SegmentSize(to.size); err != nil {
			return err
		}
	}
	s := &streamer{
		connection: to,
		counter:    transfer.NewCounter(!c.Bool("no-checksum")),
		quiet:      c.Bool("quiet"),
	}
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
	var err error
	if s.out, err = ring.NewWriter(s.slot, s.gate); err != nil {
		return err
	}
	s.out.SetSpin(transfer.Spin(s.out.Capacity()))
	s.gate.SetSpin(transfer.Spin(s.out.Capacity()))

	progress := newProgress(s.env, s.quiet)
	s.passed = io.MultiWriter(s.counter, progress)
	start := time.Now()
	left, err := s.work.Run(s.live, 0, s.sendAll)
	progress.end()
	took, lost := time.Since(start), s.out.Undelivered()
	if left { // with the segment in use, until the process ends
		s.slot = nil
	} else {
		_ = s.out.Close() // never fails
	}
	total := s.counter.Total()
	if err != nil {
		return fmt.Errorf("%w: %d bytes delivered of %d read", s.why(ctx, err), total.Bytes-int64(lost), total.Bytes)
	}
	if !s.quiet {
		s.env.Log.Notice().Int64("bytes", total.Bytes).Str("rate", transfer.Rate(total.Bytes, took)).Msg("delivered")
	}
	return nil
}

// why returns what has ended the sending, of which err is the first sign.
func (s *streamer) why(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, unix.EPIPE):
		return fmt.Errorf("FIFO %s: %w: %w", s.server.Path, errGone, unix.EPIPE)
	}
	return err
}

// sendAll returns when the server has written all and confirmed it.
//
// It reads stdin by read(2), straight into the ring. To map a file and copy it from there
// is slower: each page is a page fault, or a part of one. splice(2) moves bytes between
// descriptors, and a ring has none.
func (s *streamer) sendAll() error {
	if err := readAhead(s); err != nil {
		return err
	}
	if _, err := s.out.ReadFrom(io.TeeReader(s.work.Reader(s.env.Stdin), s.passed)); err != nil {
		return err
	}
	if err := s.out.End(); err != nil {
		return err
	}
	if err := s.out.Flush(); err != nil {
		return err
	}
	return s.counter.Total().Confirm(s.gate)
}
