package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/mailbox"
	"example.com/ipcsuite/pkg/sysv"
)

// open connects to the server, and waits for one if told to.
func (cl *client) open(ctx context.Context, wait time.Duration) error {
	// To open the FIFO is to be a client, whose leaving may end the server:
	// see first whether the segment is the wanted one.
	_, err := cl.findSegment()
	if err == nil || wait > 0 && errors.Is(err, unix.ENOENT) {
		err = cl.openFIFO(ctx, wait)
	}
	// Only now for good. What was seen before may be a dead server's, but the
	// server at the other end of the FIFO has made its segment first.
	if err == nil {
		err = cl.attach()
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOENT):
		err = fmt.Errorf("%w: start shm-server, or give it time with --wait", err)
	case errors.Is(err, unix.ENXIO):
		err = fmt.Errorf("%w: its server has died: start shm-server again, or give it time with --wait", err)
	}
	cl.close()
	return err
}

func (cl *client) findSegment() (*sysv.Segment, error) {
	key, err := sysv.Ftok(cl.keyPath, cl.projID)
	if err != nil {
		return nil, err
	}
	return sysv.Open(key, cl.size)
}

func (cl *client) openFIFO(ctx context.Context, wait time.Duration) (err error) {
	if wait == 0 {
		cl.gate, err = fifo.OpenWriter(ctx, cl.fifoPath, fifo.NoWait)
		return err
	}
	if !cl.quiet {
		cl.env.Log.Notice().Str("path", cl.fifoPath).Dur("for_ms", wait).Msg("waiting for a server: run shm-server in another terminal")
	}
	// The time is for the opening only: the Writer lives on with ctx.
	opening, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(wait, func() { cancel(fmt.Errorf("no server within %v", wait)) })
	cl.gate, err = fifo.OpenWriter(opening, cl.fifoPath, fifo.WaitPath)
	timer.Stop()
	return err
}

// attach attaches the server's segment. Anyone can make one under a key that is
// easy to guess, before the server does: it must be of the same user as the
// FIFO, which in a folder of one's own nobody else can make.
func (cl *client) attach() error {
	segment, err := cl.findSegment()
	if err != nil {
		return err
	}
	if err := segment.Attach(); err != nil {
		return err
	}
	cl.slot = segment
	info, err := segment.Stat()
	if err != nil {
		return err
	}
	owner, err := cl.gate.Owner()
	if err != nil {
		return err
	}
	if !info.OwnedBy(owner) {
		return fmt.Errorf("FIFO %s belongs to uid %d, but its segment to another user (%v): %w: choose another --proj-id on both sides",
			cl.fifoPath, owner, info, unix.EPERM)
	}
	cl.env.Log.Debug().Stringer("key", segment.Key()).Int("shmid", segment.ID()).Int("bytes", segment.Size()).Msg("attached segment")
	cl.box, err = mailbox.NewWriter(segment, cl.gate)
	return err
}

// close closes what was opened, in whatever state.
func (cl *client) close() {
	if cl.gate != nil {
		_ = cl.gate.Close() // never fails
	}
	if cl.slot != nil {
		if err := cl.slot.Detach(); err != nil {
			cl.env.Log.Warn().Err(err).Msg("the segment stays attached")
		}
	}
}
