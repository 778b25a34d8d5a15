package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/client"
	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/ring"
	"example.com/ipcsuite/pkg/sysv"
)

var (
	errStreams = errors.New("its server wants a stream: use shm-client --stream, or start the server without --stream")
	errNoRing  = errors.New("its server wants messages: use shm-client without --stream, or start the server with --stream")
	errGone    = errors.New("the server has gone")
)

// connection is a server's FIFO and segment.
type connection struct {
	env    *command.Env
	key    contract.Key
	server client.Server
	size   int  // that the segment must have; 0: any
	stream bool // there must be a ring in it

	evidence evidence

	gate *fifo.Writer
	slot *sysv.Segment   // attached, or nil
	live context.Context // ends when the server has gone, with errGone
}

// open connects to the server, and waits for one if told to.
func (c *connection) open(ctx context.Context) error {
	err := c.lookAhead()
	if err == nil || c.server.Wait > 0 && errors.Is(err, unix.ENOENT) {
		c.gate, err = c.server.Open(ctx, c.env.Log)
	}
	if err == nil {
		c.evidence.opened(c.server.Path)
		c.watch(ctx)
		// Only now the segment is that of the server at the other end of the FIFO,
		// which has made the segment first.
		err = c.attachServers()
	}
	if err == nil {
		return nil
	}
	c.close()
	return c.server.Advise(err)
}

// lookAhead attaches the segment, if there is one of the wanted kind. To open the FIFO is
// to be a client, whose leaving may end the server: see first whether it is the wanted one.
func (c *connection) lookAhead() error {
	segment, err := c.find()
	if err != nil {
		return err
	}
	var gate unix.Stat_t
	if err := unix.Lstat(c.server.Path, &gate); err != nil {
		return nil //nolint:nilerr // to open it will say what is wrong
	}
	err = c.attach(segment, int(gate.Uid))
	if errors.As(err, new(mismatch)) && !errors.As(fifo.Live(c.server.Path), new(*fifo.LiveError)) {
		return nil // the next server's segment may be another
	}
	return err
}

// attachServers attaches the server's segment.
func (c *connection) attachServers() error {
	segment, err := c.find()
	if err != nil {
		return err
	}
	owner, err := c.gate.Owner()
	if err != nil {
		return err
	}
	if err := c.attach(segment, owner); err != nil {
		return err
	}
	c.env.Log.Debug().Stringer("key", segment.Key()).Int("shmid", segment.ID()).Int("bytes", segment.Size()).Msg("attached segment")
	return nil
}

func (c *connection) find() (*sysv.Segment, error) {
	key, err := sysv.Ftok(c.key.Path, c.key.ProjID)
	if err != nil {
		return nil, err
	}
	return sysv.Open(key, c.size)
}

// attach attaches a segment, unless it is attached already. Anyone can make one under a
// key that is easy to guess, before the server does. So it must belong to the owner of the
// FIFO, which in a folder of one's own nobody else can make; and it must be of the wanted
// kind. Otherwise attach fails with a mismatch. When it fails, nothing is attached.
func (c *connection) attach(segment *sysv.Segment, owner int) (err error) {
	defer func() {
		if err != nil {
			c.detach()
		}
	}()
	info, err := segment.Stat()
	if err != nil {
		return notThere(err)
	}
	if !info.OwnedBy(owner) {
		return mismatch{fmt.Errorf("FIFO %s belongs to uid %d, but its segment to another user (%v): %w: choose another --proj-id on both sides",
			c.server.Path, owner, info, unix.EPERM)}
	}
	if c.slot == nil || c.slot.ID() != segment.ID() {
		c.detach()
		c.evidence.found(c.key, segment)
		if err := segment.Attach(); err != nil {
			return notThere(err)
		}
		c.slot = segment
		c.evidence.Attached(segment) // the server has the memory at another address
	}
	if err := c.mustBeOfKind(c.slot); err != nil {
		return mismatch{fmt.Errorf("FIFO %s: %w", c.server.Path, err)}
	}
	return nil
}

// notThere makes ENOENT of the error of a segment that was removed since it was found: it
// is none then, as to [sysv.Open], and is perhaps waited for.
func notThere(err error) error {
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EIDRM) {
		return fmt.Errorf("%w: %w", unix.ENOENT, err)
	}
	return err
}

// mustBeOfKind fails if the server has not the same mind about --stream. It has
// made the ring before the FIFO.
func (c *connection) mustBeOfKind(segment *sysv.Segment) error {
	err := ring.Check(segment)
	switch {
	case err == nil && !c.stream:
		return errStreams
	case errors.Is(err, ring.ErrIncompatible) && c.stream:
		return fmt.Errorf("%w (%w)", errNoRing, err)
	}
	return nil
}

// mismatch is why a segment is not the one of the wanted server.
type mismatch struct{ error }

func (m mismatch) Unwrap() error { return m.error }

// watch has c.live end with the server, and with ctx.
func (c *connection) watch(ctx context.Context) {
	live, end := context.WithCancelCause(ctx)
	c.live = live
	go func() {
		if c.gate.AwaitGone() == nil { // else the FIFO was closed, or ctx is done
			end(fmt.Errorf("FIFO %s: %w", c.server.Path, errGone))
		}
	}()
}

// close closes what was opened, in whatever state. The FIFO last: with it the
// server learns that this side has left, and then it has.
func (c *connection) close() {
	c.detach()
	if c.gate != nil {
		_ = c.gate.Close() // never fails
	}
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
