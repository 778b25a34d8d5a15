package mailbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/sysv"
)

// tokenSize is the size of a token in bytes.
const tokenSize = 4

// ErrMalformed says that another process has not kept to the wire format.
// What it left has been taken away, and the mailbox can be used further.
var ErrMalformed = errors.New("malformed")

// Reader is the receiving side of a mailbox. It is not safe for use by several
// goroutines at once, and a mailbox has only one.
type Reader struct {
	slot   *sysv.Segment
	gate   *fifo.Reader
	text   []byte // grows with the texts, up to the size of the slot
	tokens [fifo.Atomic]byte
	lost   uint64
	peeked bool // at a text that is still in the slot
}

// NewReader returns the receiving side of the mailbox that slot and gate make up,
// and sets the capacity of the FIFO to one page. The slot must be attached when
// texts are received; for reading is enough. It does not block. It fails with
// [unix.EBUSY] if the FIFO holds more than fits into a page, and with [os.ErrClosed].
func NewReader(slot *sysv.Segment, gate *fifo.Reader) (*Reader, error) {
	if err := gate.SetCapacity(os.Getpagesize()); err != nil {
		return nil, fmt.Errorf("mailbox: %w", err)
	}
	return &Reader{slot: slot, gate: gate}, nil
}

// Receive returns the next text, valid until the next call, and blocks until
// there is one. The slot is free again when it returns.
//
// It fails with [io.EOF] when the last writer has left and all is read; with
// [ErrMalformed] if the slot holds no end of a text or the FIFO something that
// is not a token, which are then both dropped; with the cause of the context
// that the FIFO was opened with; with [os.ErrClosed], and, leaving the text in
// the slot, with [sysv.ErrDetached].
func (r *Reader) Receive() ([]byte, error) {
	if err := r.await(); err != nil {
		return nil, err
	}
	return r.take()
}

// TryReceive is Receive without blocking. It fails with [unix.EAGAIN] when
// there is no text now, and not with [io.EOF]. It works also when the context
// of the FIFO is done, to take what is left.
func (r *Reader) TryReceive() ([]byte, error) {
	if _, err := r.pending(); err != nil {
		return nil, err
	}
	return r.take()
}

// Peek is Receive, but leaves the text in the slot until [Reader.Free]. Until
// then its writer knows that it has not been taken. So what the writer takes for
// delivered is what has been dealt with before Free, however this process may
// end. The price is that the writer waits for it.
func (r *Reader) Peek() ([]byte, error) {
	if err := r.await(); err != nil {
		return nil, err
	}
	return r.TryPeek()
}

// TryPeek is to Peek what TryReceive is to Receive.
func (r *Reader) TryPeek() ([]byte, error) {
	n, err := r.pending()
	if err != nil {
		return nil, err
	}
	if n%tokenSize != 0 { // then there need be no text
		if err := r.free(); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("receive: %w: a token in two pieces", ErrMalformed)
	}
	text, err := r.copyText()
	if errors.Is(err, ErrMalformed) {
		if err := r.free(); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	r.peeked = true
	return text, nil
}

// Free takes the token of the text that Peek has returned: the slot is free. It
// fails with [ErrMalformed] if the FIFO by now holds something that is not a
// token, which is dropped, and with [unix.EINVAL] where there is no such text: it
// would wait for the next, and take that unread.
func (r *Reader) Free() error {
	if !r.peeked {
		return fmt.Errorf("free the slot: no text has been peeked at: %w", unix.EINVAL)
	}
	return r.free()
}

func (r *Reader) free() error {
	r.peeked = false
	n, err := r.gate.Read(r.tokens[:])
	switch {
	case err != nil:
		return fmt.Errorf("receive: %w", err)
	case n%tokenSize != 0:
		return fmt.Errorf("receive: %w: %d bytes in the FIFO, where a token has %d", ErrMalformed, n, tokenSize)
	}
	// A writer in packet mode leaves one; those of others merge.
	r.lost += uint64(n/tokenSize - 1)
	return nil
}

func (r *Reader) await() error {
	err := r.gate.Await()
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("receive: %w", err)
	}
	if err != nil {
		return io.EOF
	}
	return nil
}

// pending returns how many bytes are in the FIFO, and fails with EAGAIN if there
// are none.
func (r *Reader) pending() (bytes int, err error) {
	n, err := r.gate.Pending()
	switch {
	case err != nil:
		return 0, fmt.Errorf("receive: %w", err)
	case n == 0:
		return 0, unix.EAGAIN
	}
	return n, nil
}

// take copies the text out, and then takes the token.
func (r *Reader) take() ([]byte, error) {
	text, err := r.copyText()
	if err != nil && !errors.Is(err, ErrMalformed) {
		return nil, fmt.Errorf("receive: %w", err)
	}
	if err := r.free(); err != nil {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	return text, nil
}

// Lost returns how many texts were overwritten before they could be read, as
// far as that shows: by tokens that met in the FIFO. A Writer causes none.
func (r *Reader) Lost() uint64 { return r.lost }

// copyText copies from the slot, piece by piece, up to the end of the text.
// Only the copy is looked at: the slot can change at any moment.
func (r *Reader) copyText() ([]byte, error) {
	for have, want := 0, 512; ; have, want = want, 2*want {
		want = min(want, r.slot.Size())
		if len(r.text) < want {
			r.text = append(r.text, make([]byte, want-len(r.text))...)
		}
		if _, err := r.slot.ReadAt(r.text[have:want], int64(have)); err != nil {
			return nil, err
		}
		if end := bytes.IndexByte(r.text[have:want], 0); end >= 0 {
			return firstLine(r.text[:have+end]), nil
		}
		// A newline ends the text as well. To look for it only now is for
		// the sake of the usual case, where there is none.
		if line := firstLine(r.text[:want]); len(line) < want {
			return line, nil
		}
		if want == r.slot.Size() {
			return nil, fmt.Errorf("%w: no NUL byte in the %d bytes of segment %d", ErrMalformed, want, r.slot.ID())
		}
	}
}

func firstLine(text []byte) []byte {
	line, _, _ := bytes.Cut(text, []byte{'\n'})
	return line
}
