package mailbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/sysv"
)

// ErrRefused says that a text cannot be sent, and was not, not even in part.
var ErrRefused = errors.New("text refused")

// Writer is a sending side of a mailbox. It is not safe for use by several
// goroutines at once; each can have its own, with a [fifo.Writer] of its own,
// as processes do.
type Writer struct {
	slot *sysv.Segment
	gate *fifo.Writer

	last    []byte // the text sent last, and NUL
	waiting bool   // it is not known to have been taken
	token   [tokenSize]byte
}

// NewWriter returns a sending side of the mailbox that slot and gate make up, and
// sets the capacity of the FIFO to one page. The slot must be attached for reading
// and writing when texts are sent. It does not block. It fails with [unix.EBUSY] if
// the FIFO holds more than fits into a page, and with [os.ErrClosed].
func NewWriter(slot *sysv.Segment, gate *fifo.Writer) (*Writer, error) {
	if err := gate.SetCapacity(os.Getpagesize()); err != nil {
		return nil, fmt.Errorf("mailbox: %w", err)
	}
	return &Writer{slot: slot, gate: gate}, nil
}

// Max returns the length of the longest text in bytes: the slot's size less
// the NUL byte.
func (w *Writer) Max() int { return w.slot.Size() - 1 }

// Send puts text, which may be empty, into the slot, and blocks while another
// text is there that has not been taken, whoever sent that. It does not wait
// until text itself is taken: see [Writer.Flush].
//
// It fails with [ErrRefused] if text is longer than [Writer.Max] or contains a
// NUL byte or a newline, which end a text; with [unix.EPIPE] when the reader has
// gone, and then [Writer.Undelivered] tells of the text before; with the cause of
// the context that the FIFO was opened with, and with [os.ErrClosed]. In all
// these cases text was not sent.
func (w *Writer) Send(text []byte) error {
	if err := w.check(text); err != nil {
		return err
	}
	if err := w.gate.TakeTurn(); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	defer w.gate.Unlock()
	w.waiting = false
	w.last = append(append(w.last[:0], text...), 0)
	if _, err := w.slot.WriteAt(w.last, 0); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if _, err := w.gate.Write(w.token[:]); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	w.waiting = true
	return nil
}

func (w *Writer) check(text []byte) error {
	if len(text) > w.Max() {
		return fmt.Errorf("%w: %d bytes, at most %d fit", ErrRefused, len(text), w.Max())
	}
	if i := bytes.IndexByte(text, 0); i >= 0 {
		return fmt.Errorf("%w: NUL byte at offset %d", ErrRefused, i)
	}
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		return fmt.Errorf("%w: newline at offset %d", ErrRefused, i)
	}
	return nil
}

// Flush blocks until the text sent last has been taken. Where other writers fill the
// slot as soon as it is free, some of their texts may be taken before it sees that. It
// fails like [Writer.Send], with [unix.EPIPE] only if the reader has gone without
// taking that text.
func (w *Writer) Flush() error {
	// Another's text may be there by now, which is not to be waited for.
	if w.Undelivered() == 0 {
		w.waiting = false
		return nil
	}
	err := w.gate.Await()
	if errors.Is(err, unix.EPIPE) && w.Undelivered() == 0 {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	w.waiting = false
	return nil
}

// Undelivered returns how many of the texts sent wait in the slot to be taken:
// 1, the last, or 0. When the reader has gone, it is lost. If several writers
// have sent one and the same text, each may take that of another for its own.
func (w *Writer) Undelivered() int {
	if !w.waiting {
		return 0
	}
	if tokens, err := w.gate.Unread(); err == nil && tokens == 0 {
		return 0
	}
	// There is a token. It is another writer's if the slot holds another
	// text, as that was written only after this one's was taken.
	slot := make([]byte, len(w.last))
	if _, err := w.slot.ReadAt(slot, 0); err == nil && !bytes.Equal(slot, w.last) {
		return 0
	}
	return 1
}
