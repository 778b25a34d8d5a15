package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/sysv"
)

// Reader is the receiving side of a ring. A ring has only one, and it is not
// safe for use by several goroutines at once; to end a wait from another
// goroutine, cancel the context of the FIFO end, or close that.
//
// Its methods fail with [io.EOF] when the writer has ended the stream, and with
// [io.ErrUnexpectedEOF] when it has gone without, in both cases only when all
// that was committed has been read; with [ErrCorrupt]; with the cause of the
// context that the FIFO was opened with; and with [os.ErrClosed] when the FIFO end
// or the Reader has been closed. Only Read, WriteTo, Peek and Receive block, and
// that only while the ring is empty; only then is the context looked at. None of
// them allocates unless it fails.
type Reader struct {
	h    *header
	data []byte
	gate *fifo.Reader

	head uint64 // all that was discarded: the shared word is never read back
	at   int    // where in data that is
	tail uint64 // the writer's, as seen last

	spin    time.Duration
	peeked  int // length of what Peek returned last
	tokens  [fifo.Atomic]byte
	scratch [prefix]byte
	unpin   func()
}

var (
	_ io.ReadCloser = (*Reader)(nil)
	_ io.WriterTo   = (*Reader)(nil)
)

// NewReader returns the receiving side of the ring in seg, which is attached
// (for writing too) and formatted, with gate as its doorbell, and sets the
// capacity of the FIFO to one page. It goes on where a reader before it has
// stopped. Until [Reader.Close], seg cannot be detached.
//
// It fails with [ErrIncompatible], [ErrCorrupt], [sysv.ErrDetached] and
// [sysv.ErrReadOnly]; with [unix.EBUSY] if the FIFO holds more than fits into a page,
// and with [os.ErrClosed] if gate is closed.
func NewReader(seg *sysv.Segment, gate *fifo.Reader) (*Reader, error) {
	if err := gate.SetCapacity(os.Getpagesize()); err != nil {
		return nil, fmt.Errorf("ring: %w", err)
	}
	mem, unpin, err := pin(seg)
	if err != nil {
		return nil, fmt.Errorf("ring: %w", err)
	}
	r, err := newReader(mem, gate)
	if err != nil {
		unpin()
		return nil, fmt.Errorf("ring in segment %d: %w", seg.ID(), err)
	}
	r.unpin = unpin
	return r, nil
}

// newReader is NewReader with memory that stays.
func newReader(mem []byte, gate *fifo.Reader) (*Reader, error) {
	h, data, tail, head, err := open(mem)
	if err != nil {
		return nil, err
	}
	return &Reader{
		h: h, data: data, gate: gate,
		head: head, at: int(head % uint64(len(data))), tail: tail,
		spin: SpinTime, unpin: func() {},
	}, nil
}

// Capacity returns the size of the ring in bytes.
func (r *Reader) Capacity() int { return len(r.data) }

// SetSpin sets how long a wait looks at the ring before it sleeps: 0 for not at
// all. While it looks, it notices the end of the stream, but neither the end of
// the context nor that of a writer that was killed.
func (r *Reader) SetSpin(d time.Duration) { r.spin = d }

// Read copies what there is into p, as much as fits, and blocks while there is
// nothing.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.await(1); err != nil {
		return 0, explain("read from ring", err)
	}
	n := min(len(p), r.available())
	r.get(r.at, p[:n])
	if err := r.discard(n); err != nil {
		return n, fmt.Errorf("read from ring: %w", err)
	}
	return n, nil
}

// Peek returns what there is to read in place, one byte or more, up to the end
// of the ring at most; it blocks while there is nothing. [Reader.Discard] then
// frees the first part of it. The bytes may be used until the next call of
// another method.
//
// They are the writer's too, and a hostile one can change them at any moment:
// what is to be checked must be copied first.
func (r *Reader) Peek() ([]byte, error) {
	if err := r.await(1); err != nil {
		return nil, explain("peek into ring", err)
	}
	if err := r.refresh(); err != nil { // there may be more by now
		return nil, explain("peek into ring", err)
	}
	bytes := r.data[r.at:]
	bytes = bytes[:min(len(bytes), r.available())]
	r.peeked = len(bytes)
	return bytes[:len(bytes):len(bytes)], nil
}

// Discard frees the first n bytes of what [Reader.Peek] returned. It fails with
// [unix.EINVAL], having done nothing, if there were not so many. After other
// errors they are gone all the same. It does not block.
func (r *Reader) Discard(n int) error {
	if r.unpin == nil {
		return fmt.Errorf("discard from ring: %w", os.ErrClosed)
	}
	if n < 0 || n > r.peeked {
		return fmt.Errorf("discard %d bytes, of %d peeked at: %w", n, r.peeked, unix.EINVAL)
	}
	if n == 0 {
		r.peeked = 0
		return nil
	}
	if err := r.discard(n); err != nil {
		return fmt.Errorf("discard from ring: %w", err)
	}
	return nil
}

// WriteTo empties the ring straight into dst until the writer ends the stream,
// and then returns nil. It frees what each Write has taken. While bytes keep
// coming the context is not looked at, but to close the FIFO end does end it.
func (r *Reader) WriteTo(dst io.Writer) (n int64, err error) {
	for {
		bytes, err := r.Peek()
		switch {
		case err == io.EOF: //nolint:errorlint // Peek does not wrap it
			return n, nil
		case err != nil:
			return n, err
		}
		if _, err := r.gate.Pending(); err != nil { // closed
			return n, fmt.Errorf("read from ring: %w", err)
		}
		bytes = bytes[:min(len(bytes), chunk(len(r.data)))]
		m, writeErr := dst.Write(bytes)
		if writeErr == nil && m < len(bytes) {
			writeErr = io.ErrShortWrite
		}
		before := r.head
		err = r.Discard(m)
		n += int64(r.head - before) // also when the FIFO has failed
		if err != nil {
			return n, errors.Join(writeErr, err)
		}
		if writeErr != nil {
			return n, writeErr
		}
	}
}

// Receive copies the next message into p, returns its length, and blocks while
// there is none. If p is too short it fails with [io.ErrShortBuffer], returns the
// length all the same, and leaves the message where it is.
func (r *Reader) Receive(p []byte) (int, error) {
	if err := r.await(prefix); err != nil {
		return 0, explain("receive from ring", err)
	}
	// The length is read once, as an assignment is in Go's memory model.
	var length uint32
	at := r.at + prefix
	if rest := r.data[r.at:]; len(rest) > prefix {
		length = binary.NativeEndian.Uint32(rest)
	} else {
		at = r.get(r.at, r.scratch[:])
		length = binary.NativeEndian.Uint32(r.scratch[:])
	}
	if uint64(length) > uint64(r.available()-prefix) {
		// A message is committed whole.
		return 0, fmt.Errorf("receive from ring: %w: message of %d bytes, of which %d are there", ErrCorrupt, length, r.available()-prefix)
	}
	n := int(length)
	if n > len(p) {
		return n, fmt.Errorf("receive from ring: message of %d bytes into %d: %w", n, len(p), io.ErrShortBuffer)
	}
	r.get(at, p[:n])
	if err := r.discard(prefix + n); err != nil {
		return n, fmt.Errorf("receive from ring: %w", err)
	}
	return n, nil
}

// Buffered returns how many bytes can be read without blocking. It is 0 after
// Close.
func (r *Reader) Buffered() int {
	if r.unpin == nil {
		return 0
	}
	_ = r.refresh() // of an index that cannot be, the last that could
	return r.available()
}

// Close lets go of the segment, and not of the FIFO end, whose closing is what
// the writer notices. What Peek returned must not be used any more. A second
// Close does nothing.
func (r *Reader) Close() error {
	if r.unpin != nil {
		r.unpin()
		r.h, r.data, r.unpin, r.peeked = nil, nil, nil, 0
	}
	return nil
}

// explain adds what was done to err, except to the ends of the stream, which
// callers of an [io.Reader] compare.
func explain(op string, err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF { //nolint:errorlint // they come unwrapped
		return err
	}
	return fmt.Errorf("%s: %w", op, err)
}

func (r *Reader) available() int { return int(r.tail - r.head) }

// refresh looks at the writer's index. It may have advanced, by what is free.
func (r *Reader) refresh() error {
	tail := r.h.tail.Load()
	if tail-r.tail > uint64(len(r.data))-(r.tail-r.head) {
		return corrupt(tail, r.head, len(r.data))
	}
	r.tail = tail
	return nil
}

// get fills p from data at offset at, which it continues at the start, and
// returns the offset after it.
func (r *Reader) get(at int, p []byte) int {
	n := copy(p, r.data[at:])
	if n < len(p) {
		return copy(p[n:], r.data)
	}
	if at += n; at == len(r.data) {
		return 0
	}
	return at
}

// discard lets the writer have the next n bytes.
func (r *Reader) discard(n int) error {
	r.peeked = 0
	if r.at += n; r.at >= len(r.data) {
		r.at -= len(r.data)
	}
	r.head += uint64(n)
	r.h.head.Store(r.head)
	if r.h.writerWaits.Load() == 0 {
		return nil
	}
	// Whose 1 this takes away has put a token, which is taken after that.
	r.h.writerWaits.Swap(0)
	return r.takeToken()
}

// takeToken leaves the FIFO empty. It does not block, as nobody else reads from
// the FIFO.
func (r *Reader) takeToken() error {
	n, err := r.gate.Pending()
	if err == nil && n > 0 {
		_, err = r.gate.Read(r.tokens[:])
	}
	return err
}

// await blocks until n bytes can be read.
func (r *Reader) await(n int) error {
	if r.unpin == nil {
		return os.ErrClosed
	}
	for {
		if enough, err := r.look(n); enough || err != nil {
			return err
		}
		err := r.sleep(n)
		if err == io.EOF { //nolint:errorlint // the gate returns it bare
			// No store of the writer can follow, so this look is final.
			if enough, err := r.final(n); enough || err != nil {
				return err
			}
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
}

// look spins until n bytes can be read or the stream has ended, for so long as
// is allowed.
func (r *Reader) look(n int) (bool, error) {
	var clock spinClock
	for {
		if r.available() >= n {
			return true, nil
		}
		if enough, err := r.final(n); enough || err != nil {
			return enough, err
		}
		if clock.over(r.spin) {
			return false, nil
		}
	}
}

// final reports whether n bytes can be read, and fails with [io.EOF] if they
// cannot and the stream has ended. That is looked at before the index, as it was
// stored after it.
func (r *Reader) final(n int) (bool, error) {
	ended := r.h.ended.Load() != 0
	if err := r.refresh(); err != nil {
		return false, err
	}
	switch {
	case r.available() >= n:
		return true, nil
	case !ended:
		return false, nil
	case r.available() > 0:
		return false, io.ErrUnexpectedEOF // it ended inside a prefix
	}
	return false, io.EOF
}

// sleep blocks until there is a token, which it takes, unless n bytes can be
// read or the stream has ended. The order of its steps is argued in the package
// comment.
func (r *Reader) sleep(n int) error {
	r.h.readerWaits.Store(1)
	defer r.h.readerWaits.Store(0)
	if enough, err := r.final(n); enough || err == io.EOF { //nolint:errorlint // final returns it bare
		return nil // await looks again, and finds the same
	} else if err != nil {
		return err
	}
	if err := r.gate.Await(); err != nil {
		return err
	}
	return r.takeToken()
}
