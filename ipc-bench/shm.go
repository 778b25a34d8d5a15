package main

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/mailbox"
	"example.com/ipcsuite/pkg/ring"
	"example.com/ipcsuite/pkg/sysv"
)

// spinTime is for how long ring-spin looks before it sleeps all the same: far
// longer than any wait but that for a process that has been stopped.
const spinTime = 100 * time.Millisecond

// meetSegments makes two FIFOs and two segments, one for each direction. The
// segments are removed at once: on Linux one that is attached somewhere can still
// be attached by its id (shmctl(2), IPC_RMID), and it goes with its last process,
// however that ends.
func meetSegments(ctx context.Context, p plan, bytes int, prepare func(*sysv.Segment) error) (*meeting, error) {
	m, err := meetFIFOs(ctx, p)
	if err != nil {
		return nil, err
	}
	var made []*sysv.Segment
	leaveFIFOs := m.leave
	m.leave = func() {
		leaveFIFOs()
		for _, seg := range made {
			_ = seg.Detach() // it is attached
		}
		made = nil
	}
	for range 2 {
		seg, err := sysv.Create(sysv.Private, bytes, 0o600)
		if err != nil {
			m.leave()
			return nil, err
		}
		err = seg.Attach()
		if err == nil {
			made = append(made, seg)
		}
		if err := errors.Join(err, seg.Remove()); err != nil {
			m.leave()
			return nil, err
		}
		if err := prepare(seg); err != nil {
			m.leave()
			return nil, err
		}
		m.names = append(m.names, strconv.Itoa(seg.ID()))
	}
	return m, nil
}

// openSegments attaches both segments.
func openSegments(a assignment) (in, out *sysv.Segment, err error) {
	var segs [2]*sysv.Segment
	for i := range segs {
		id, err := strconv.Atoi(a.Names[2+i])
		if err != nil {
			return nil, nil, err
		}
		if segs[i], err = sysv.OpenID(id); err != nil {
			return nil, nil, err
		}
		if err := segs[i].Attach(); err != nil {
			return nil, nil, err
		}
	}
	if a.Near {
		return segs[1], segs[0], nil
	}
	return segs[0], segs[1], nil
}

func meetMailboxes(ctx context.Context, p plan) (*meeting, error) {
	return meetSegments(ctx, p, p.size+1, func(*sysv.Segment) error { return nil })
}

func joinMailboxes(ctx context.Context, a assignment) (link, error) {
	in, out, r, w, err := openBoth(ctx, a)
	if err != nil {
		return nil, err
	}
	reader, err := mailbox.NewReader(in, r)
	if err != nil {
		return nil, err
	}
	writer, err := mailbox.NewWriter(out, w)
	if err != nil {
		return nil, err
	}
	return mailboxLink{reader, writer}, nil
}

// openBoth opens what belongs to both directions. What is open when it fails goes
// with the process.
func openBoth(ctx context.Context, a assignment) (in, out *sysv.Segment, r *fifo.Reader, w *fifo.Writer, err error) {
	if in, out, err = openSegments(a); err != nil {
		return nil, nil, nil, nil, err
	}
	if r, w, err = openFIFOs(ctx, a); err != nil {
		return nil, nil, nil, nil, err
	}
	return in, out, r, w, nil
}

type mailboxLink struct {
	in  *mailbox.Reader
	out *mailbox.Writer
}

func (l mailboxLink) send(p []byte) error { return l.out.Send(p) }

func (l mailboxLink) receive([]byte) ([]byte, error) { return l.in.Receive() }

func meetRings(ctx context.Context, p plan) (*meeting, error) {
	return meetSegments(ctx, p, ring.Overhead+p.ringSize, ring.Format)
}

func joinRings(spin time.Duration) func(context.Context, assignment) (link, error) {
	return func(ctx context.Context, a assignment) (link, error) {
		in, out, r, w, err := openBoth(ctx, a)
		if err != nil {
			return nil, err
		}
		reader, err := ring.NewReader(in, r)
		if err != nil {
			return nil, err
		}
		writer, err := ring.NewWriter(out, w)
		if err != nil {
			return nil, err
		}
		reader.SetSpin(spin)
		writer.SetSpin(spin)
		// A message is committed whole. One that takes more than a quarter of the
		// ring is written as a stream instead, piece by piece: so the reader can
		// begin while the writer is still at it, and it need not fit.
		if a.Size > a.RingSize/4 {
			return ringStream{reader, writer, a.Size}, nil
		}
		return ringLink{reader, writer}, nil
	}
}

type ringLink struct {
	in  *ring.Reader
	out *ring.Writer
}

func (l ringLink) send(p []byte) error { return l.out.Send(p) }

func (l ringLink) receive(buf []byte) ([]byte, error) {
	n, err := l.in.Receive(buf)
	if err != nil {
		return nil, err
	}
	return buf[:n], nil
}

type ringStream struct {
	in   *ring.Reader
	out  *ring.Writer
	size int
}

func (l ringStream) send(p []byte) error {
	_, err := l.out.Write(p)
	return err
}

func (l ringStream) receive(buf []byte) ([]byte, error) {
	_, err := io.ReadFull(l.in, buf[:l.size])
	return buf[:l.size], err
}
