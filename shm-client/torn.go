package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/sysv"
)

// torn is what --torn makes of the client: it writes the first half of each text, pauses,
// and then sends the text. That is a writer from which the kernel takes the processor in
// the middle of its copying. A server without access control sees the new half before the
// rest of the old text.
type torn struct {
	outbox
	live  context.Context // ends the pause
	slot  *sysv.Segment
	gate  *fifo.Writer // the half is written in its turn; nil with --sync none
	pause time.Duration
}

func (t torn) Send(text []byte) error {
	refused := len(text) > t.Max() || bytes.IndexByte(text, 0) >= 0
	if !refused && string(text) != contract.Quit {
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
	case <-t.live.Done():
		if err := context.Cause(t.live); !errors.Is(err, errGone) {
			return err
		}
		return unix.EPIPE
	}
}
