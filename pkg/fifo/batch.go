package fifo

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/pipe"
)

// batchMessages is how many messages a Batch holds at most. With 16, which a pipe
// has room for without asking, 1,000,000 lines took 1.15 times as long.
const batchMessages = 64

// Batch sends messages through a [Writer] many at a time, which is faster where
// they come faster than they can be sent: a write(2) to the FIFO contends with its
// reader for the pipe, and may wake it, for each message.
//
// It writes them to a pipe of its own, in packet mode too, where nobody contends,
// and moves the whole packets from there to the FIFO with one splice(2). At the
// other end nothing differs. It is not safe for use by several goroutines at once,
// but the Writer still is.
type Batch struct {
	w       *Writer
	in, out int      // of its own pipe, non-blocking; -1 before the first Add
	held    []uint16 // lengths of the messages in that pipe
}

// NewBatch returns an empty Batch, which takes two descriptors once it is used.
func NewBatch(w *Writer) *Batch {
	return &Batch{w: w, in: -1, out: -1, held: make([]uint16, 0, batchMessages)}
}

// Add puts p into the batch as one message. If that is full it first sends what is
// in it, and blocks as Flush does. It fails as [Writer.Write] does, and with
// [unix.EMFILE] or [unix.ENFILE] when there is no descriptor left for it; p is then
// not in the batch. It does not allocate.
func (b *Batch) Add(p []byte) error {
	if err := b.w.check(p); err != nil {
		return err
	}
	for {
		err := b.hold(p)
		if !errors.Is(err, unix.EAGAIN) {
			return err
		}
		if err := b.Flush(); err != nil {
			return err
		}
	}
}

// hold fails with EAGAIN when there is no room.
func (b *Batch) hold(p []byte) error {
	if b.in < 0 {
		var ends [2]int
		if err := unix.Pipe2(ends[:], unix.O_DIRECT|unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
			return fmt.Errorf("make a batch for FIFO %s: %w", b.w.path, os.NewSyscallError("pipe2", err))
		}
		b.out, b.in = ends[0], ends[1]
		// A user who has too many pipes is refused, and goes on with a smaller one.
		_, _ = pipe.SetCapacity(b.in, batchMessages*os.Getpagesize())
	}
	if len(b.held) == cap(b.held) {
		return unix.EAGAIN
	}
	_, err := retry(func() (int, error) { return rawWrite(b.in, p) })
	switch {
	case errors.Is(err, unix.EAGAIN):
		return unix.EAGAIN
	case err != nil:
		return fmt.Errorf("write to the batch for FIFO %s: %w", b.w.path, os.NewSyscallError("write", err))
	}
	b.held = append(b.held, uint16(len(p)))
	return nil
}

// Len returns how many messages were added and are not in the FIFO.
func (b *Batch) Len() int { return len(b.held) }

// Flush sends what is in the batch, in the order in which it was added, and blocks
// while the FIFO is full. Only then is the context looked at that the FIFO was
// opened with. It fails with [unix.EPIPE] when no process reads the FIFO any more;
// Len then tells how many messages were not sent, and [Writer.Unread] how many were
// sent and are lost.
func (b *Batch) Flush() error {
	if err := b.w.wake.Enter(); err != nil {
		return fmt.Errorf("write FIFO %s: %w", b.w.path, err)
	}
	defer b.w.wake.Leave()
	look := true
	for len(b.held) > 0 {
		err := b.move()
		switch {
		case err == nil:
			look = true
			continue
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EAGAIN):
			return fmt.Errorf("write FIFO %s: %w", b.w.path, os.NewSyscallError("splice", err))
		}
		if err := b.w.await(look); err != nil {
			return fmt.Errorf("write FIFO %s: %w", b.w.path, err)
		}
		look = false
	}
	return nil
}

// move moves as many messages to the FIFO as there is room for now.
func (b *Batch) move() error {
	var bytes int
	for _, size := range b.held {
		bytes += int(size)
	}
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	// A packet for which there is a slot is moved whole (splice(2)).
	moved, err := unix.Splice(b.out, nil, b.w.fd, nil, bytes, unix.SPLICE_F_NONBLOCK)
	if err != nil {
		return err
	}
	n := 0
	for left := int(int32(moved)); left > 0 && n < len(b.held); n++ { // see writerPresent
		left -= int(b.held[n])
		b.w.note(int(b.held[n]))
	}
	b.held = b.held[:copy(b.held, b.held[n:])]
	return nil
}

// Close frees the descriptors. What is in the batch is not sent. The Writer stays
// open.
func (b *Batch) Close() {
	if b.in >= 0 {
		closeFD(b.in)
		closeFD(b.out)
		b.in, b.out = -1, -1
	}
}
