package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/mailbox"
	"example.com/ipcsuite/pkg/sysv"
)

// What --sync can say.
const (
	syncFIFO = "fifo"
	syncNone = "none"
)

// outbox is a way to send texts through the segment. Its methods are those of
// [mailbox.Writer], which is the way that loses nothing.
type outbox interface {
	Max() int
	Send(text []byte) error
	Flush() error
	Undelivered() int
}

// unasked writes to the segment without access control: it neither waits until
// the text before has been read nor tells anybody that there is a new one.
type unasked struct{ slot *sysv.Segment }

func (u unasked) Max() int { return u.slot.Size() - 1 }

func (u unasked) Send(text []byte) error {
	if len(text) > u.Max() {
		return fmt.Errorf("%w: %d bytes, at most %d fit", mailbox.ErrRefused, len(text), u.Max())
	}
	if i := bytes.IndexByte(text, 0); i >= 0 {
		return fmt.Errorf("%w: NUL byte at offset %d", mailbox.ErrRefused, i)
	}
	_, err := u.slot.WriteAt(append(text[:len(text):len(text)], 0), 0)
	return err
}

// Flush has nothing to wait for: whether somebody has read, nobody can know.
func (u unasked) Flush() error { return nil }

// Undelivered is not known either.
func (u unasked) Undelivered() int { return 0 }

// torn writes the first half of each text, is held up, and then sends it: a
// writer that the kernel takes the processor from in the middle of its copying.
// Who reads meanwhile sees the new half before the rest of the old text. It has
// the turn where there are turns to be had.
type torn struct {
	outbox
	ctx   context.Context // ends the pause, and so does gone
	gone  <-chan struct{}
	slot  *sysv.Segment
	gate  *fifo.Writer // nil: without asking
	pause time.Duration
}

func (t torn) Send(text []byte) error {
	refused := len(text) > t.Max() || bytes.IndexByte(text, 0) >= 0
	if !refused && string(text) != quit {
		if err := t.half(text[:len(text)/2]); err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
	return t.outbox.Send(text)
}

func (t torn) half(text []byte) error {
	if t.gate != nil {
		if err := t.gate.TakeTurn(); err != nil {
			return err
		}
		defer t.gate.Unlock()
	}
	if _, err := t.slot.WriteAt(text, 0); err != nil {
		return err
	}
	timer := time.NewTimer(t.pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-t.gone:
		return unix.EPIPE
	case <-t.ctx.Done():
		return context.Cause(t.ctx)
	}
}

// numbered puts the number of a message before and behind it, so that a reader
// can tell if it is whole, and if the one before it is missing. The server's
// tally.go says the rest.
func numbered(n int, text []byte) []byte {
	return fmt.Appendf(nil, "#%d %s #%d", n, text, n)
}
