package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/client"
	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/ring"
	"example.com/ipcsuite/pkg/sysv"
)

var (
	errStreams = errors.New("its server wants a stream: use shm-client --stream, or start the server without --stream")
	errNoRing  = errors.New("its server wants messages: use shm-client without --stream, or start the server with --stream")
)

// connection is a server's FIFO and segment.
type connection struct {
	env     *command.Env
	keyPath string
	projID  int
	server  client.Server
	size    int  // that the segment must have; 0: any
	stream  bool // there must be a ring in it

	evidence *evidence // nil without --explain

	gate *fifo.Writer
	gone chan struct{} // closed when the server has gone
	slot *sysv.Segment
}

// open connects to the server, and waits for one if told to.
func (c *connection) open(ctx context.Context) error {
	// To open the FIFO is to be a client, whose leaving may end the server:
	// see first whether the segment is the wanted one.
	err := c.lookAhead()
	if err == nil || c.server.Wait > 0 && errors.Is(err, unix.ENOENT) {
		c.gate, err = c.server.Open(ctx, c.env.Log)
	}
	if err == nil {
		c.evidence.opened(c.server.Path)
		c.gone = make(chan struct{})
		go c.awaitGone()
	}
	// Only now for good. What was attached before may be a dead server's, but
	// the server at the other end of the FIFO has made its segment first.
	if err == nil {
		err = c.attach()
	}
	if err == nil {
		return nil
	}
	c.close()
	return c.server.Explain(err)
}

// lookAhead attaches the segment, if there is one of the wanted kind.
func (c *connection) lookAhead() error {
	segment, err := c.findSegment()
	if err != nil {
		return err
	}
	if err := c.use(segment); err != nil {
		return err
	}
	err = c.mustBeOfKind(segment)
	var live *fifo.LiveError
	if err != nil && !errors.As(fifo.Live(c.server.Path), &live) {
		return nil // the next server's may be of another kind
	}
	return err
}

func (c *connection) findSegment() (*sysv.Segment, error) {
	key, err := sysv.Ftok(c.keyPath, c.projID)
	if err != nil {
		return nil, err
	}
	return sysv.Open(key, c.size)
}

// mustBeOfKind fails if the server has not the same mind about --stream. It has
// made the ring before the FIFO.
func (c *connection) mustBeOfKind(segment *sysv.Segment) error {
	err := ring.Check(segment)
	switch {
	case err == nil && !c.stream:
		return fmt.Errorf("FIFO %s: %w", c.server.Path, errStreams)
	case errors.Is(err, ring.ErrIncompatible) && c.stream:
		return fmt.Errorf("FIFO %s: %w (%w)", c.server.Path, errNoRing, err)
	}
	return nil
}

// attach attaches the server's segment. Anyone can make one under a key that is
// easy to guess, before the server does: it must be of the same user as the
// FIFO, which in a folder of one's own nobody else can make.
func (c *connection) attach() error {
	segment, err := c.findSegment()
	if err != nil {
		return err
	}
	if c.slot == nil || c.slot.ID() != segment.ID() {
		c.detach()
		if err := c.use(segment); err != nil {
			return err
		}
	}
	info, err := segment.Stat()
	if err != nil {
		return err
	}
	owner, err := c.gate.Owner()
	if err != nil {
		return err
	}
	if !info.OwnedBy(owner) {
		return fmt.Errorf("FIFO %s belongs to uid %d, but its segment to another user (%v): %w: choose another --proj-id on both sides",
			c.server.Path, owner, info, unix.EPERM)
	}
	c.env.Log.Debug().Stringer("key", segment.Key()).Int("shmid", segment.ID()).Int("bytes", segment.Size()).Msg("attached segment")
	return c.mustBeOfKind(c.slot)
}

// awaitGone ends with the server, or when the FIFO is closed.
func (c *connection) awaitGone() {
	if c.gate.AwaitGone() == nil {
		close(c.gone)
	}
}

// close closes what was opened, in whatever state. The FIFO last: with it the
// server learns that this side has left, and then it has.
func (c *connection) close() {
	c.detach()
	if c.gate != nil {
		_ = c.gate.Close() // never fails
	}
}

// use attaches a segment. One that was removed since it was found is none, as it was
// to [sysv.Open], and perhaps waited for.
func (c *connection) use(segment *sysv.Segment) error {
	c.evidence.found(c.keyPath, c.projID, segment)
	err := segment.Attach()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EIDRM) {
		return fmt.Errorf("%w: %w", unix.ENOENT, err)
	}
	if err != nil {
		return err
	}
	c.slot = segment
	c.evidence.attached(segment)
	return nil
}

func (c *connection) detach() {
	if c.slot == nil {
		return
	}
	if err := c.slot.Detach(); err != nil {
		c.env.Log.Warn().Err(err).Msg("the segment stays attached")
	}
	c.slot = nil
}
