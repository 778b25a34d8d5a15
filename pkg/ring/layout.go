package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/sysv"
)

// Overhead is the length in bytes of the header. A segment of Overhead+n bytes
// holds a ring of n.
const Overhead = int(unsafe.Sizeof(header{}))

const (
	version = 1
	// line is two cache lines of 64 bytes: the prefetcher of many a
	// processor takes them in pairs, and some arm64 have lines of 128.
	line = 128
)

// magic is "ipc-ring" in memory, in the byte order of the processor: to one
// with the other order it, and version, are other numbers.
var magic = binary.NativeEndian.Uint64([]byte("ipc-ring"))

var (
	// ErrIncompatible says that a segment holds no ring that this package
	// can use: none at all, or of another version, byte order or size.
	ErrIncompatible = errors.New("no compatible ring")
	// ErrCorrupt says that the other side has broken the protocol: an index
	// or a length that it left in the segment cannot be.
	ErrCorrupt = errors.New("ring corrupt")
	// ErrEnded says that the stream in the ring has ended, by Writer.End.
	ErrEnded = errors.New("stream has ended")
)

// header is the start of the segment, drawn in the package comment. Every word
// in it is read and written atomically, as the other side may do anything at any
// time.
type header struct {
	magic    atomic.Uint64 // stored last
	version  atomic.Uint32
	overhead atomic.Uint32
	capacity atomic.Uint64
	_        [line - 24]byte

	tail  atomic.Uint64 // bytes ever committed; stored by the writer only
	ended atomic.Uint32 // 1 when there will be no more; likewise
	_     [line - 12]byte

	head atomic.Uint64 // bytes ever discarded; stored by the reader only
	_    [line - 8]byte

	readerWaits atomic.Uint32 // 1 when the reader sleeps, or is about to
	_           [line - 4]byte

	writerWaits atomic.Uint32
	_           [line - 4]byte
}

// Format makes an empty ring of the attached segment, as large as fits. It must
// be done before either side is made, and once for each stream. It fails with
// [unix.EINVAL] if the segment has no room for a single byte, and with
// [sysv.ErrDetached] and [sysv.ErrReadOnly]. It does not block.
func Format(seg *sysv.Segment) error {
	if err := writable(seg); err != nil {
		return fmt.Errorf("format ring: %w", err)
	}
	if err := seg.Use(format); err != nil {
		return fmt.Errorf("format ring in segment %d: %w", seg.ID(), err)
	}
	return nil
}

func format(mem []byte) error {
	if len(mem) <= Overhead {
		return fmt.Errorf("%d bytes, of which the header takes %d: %w", len(mem), Overhead, unix.EINVAL)
	}
	clear(mem[:Overhead])
	h := headerOf(mem)
	h.version.Store(version)
	h.overhead.Store(uint32(Overhead))
	h.capacity.Store(uint64(len(mem) - Overhead))
	h.magic.Store(magic) // whoever sees it sees the rest
	return nil
}

// Check says whether there is a ring in the attached segment, which may be
// attached for reading only and in use by others: it fails with
// [ErrIncompatible] where [NewWriter] and [NewReader] would, and with
// [sysv.ErrDetached].
func Check(seg *sysv.Segment) error {
	err := seg.Use(func(mem []byte) error {
		_, _, err := parts(mem)
		return err
	})
	if err != nil {
		return fmt.Errorf("ring in segment %d: %w", seg.ID(), err)
	}
	return nil
}

// headerOf returns the header in mem, which must be long enough and aligned to 8
// bytes, as pages are.
func headerOf(mem []byte) *header { return (*header)(unsafe.Pointer(&mem[0])) }

// writable fails where a store to the segment would crash the program.
func writable(seg *sysv.Segment) error {
	_, err := seg.WriteAt(nil, 0)
	return err
}

// open checks the ring in mem, and returns its two parts and its indices.
func open(mem []byte) (h *header, data []byte, tail, head uint64, err error) {
	h, data, err = parts(mem)
	if err != nil {
		return nil, nil, 0, 0, err
	}
	// The other side may be at work, but one of the two indices is the
	// caller's own and stands still, so any value of the other fits it.
	tail, head = h.tail.Load(), h.head.Load()
	if tail-head > uint64(len(data)) {
		return nil, nil, 0, 0, corrupt(tail, head, len(data))
	}
	return h, data, tail, head, nil
}

// parts checks the part of the header that never changes.
func parts(mem []byte) (h *header, data []byte, err error) {
	if len(mem) <= Overhead {
		return nil, nil, fmt.Errorf("%w: %d bytes are too few", ErrIncompatible, len(mem))
	}
	h, data = headerOf(mem), mem[Overhead:]
	if m := h.magic.Load(); m != magic {
		return nil, nil, fmt.Errorf("%w: magic number %#x, want %#x", ErrIncompatible, m, magic)
	}
	if v, o := h.version.Load(), h.overhead.Load(); v != version || o != uint32(Overhead) {
		return nil, nil, fmt.Errorf("%w: version %d with a header of %d bytes, want %d with %d", ErrIncompatible, v, o, version, Overhead)
	}
	if c := h.capacity.Load(); c != uint64(len(data)) {
		return nil, nil, fmt.Errorf("%w: capacity %d bytes in a segment with room for %d", ErrIncompatible, c, len(data))
	}
	return h, data, nil
}

func corrupt(tail, head uint64, capacity int) error {
	return fmt.Errorf("%w: tail %d, head %d, capacity %d", ErrCorrupt, tail, head, capacity)
}

// pin keeps seg attached until unpin is called: Detach waits for that. It is one
// long Use, since a short one around each operation would take as much time as
// the operation.
func pin(seg *sysv.Segment) (mem []byte, unpin func(), err error) {
	if err := writable(seg); err != nil {
		return nil, nil, err
	}
	pinned, done := make(chan []byte), make(chan struct{})
	failed := make(chan error, 1)
	var use sync.WaitGroup
	use.Go(func() {
		if err := seg.Use(func(mem []byte) error {
			pinned <- mem
			<-done
			return nil
		}); err != nil {
			failed <- err
		}
	})
	unpin = func() {
		close(done)
		use.Wait()
	}
	select {
	case mem := <-pinned:
		return mem, unpin, nil
	case err := <-failed:
		return nil, nil, err
	}
}
