package ring

import (
	"context"
	"encoding/binary"
	"io"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/internal/ipctest"
)

// hostilePeer is a process that has the memory, mapped elsewhere, and the FIFO,
// and keeps to nothing.
type hostilePeer struct {
	mem   []byte
	guard []byte // of the victim, behind its ring
	other []byte // the same memory as mem, as the victim sees it

	fifo     *fifo.FIFO
	path     string
	in, drop int // ends of the FIFO, non-blocking
}

func newHostilePeer(f *testing.F, capacity int) *hostilePeer {
	fd, err := unix.MemfdCreate("ring", unix.MFD_CLOEXEC)
	if err != nil {
		f.Fatal(err)
	}
	defer unix.Close(fd)
	const room = 64
	ipctest.Must(f, unix.Ftruncate(fd, int64(Overhead+capacity+room)))
	mapped := func() []byte {
		mem, err := unix.Mmap(fd, 0, Overhead+capacity+room, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			f.Fatal(err)
		}
		f.Cleanup(func() { _ = unix.Munmap(mem) })
		return mem
	}
	own, other := mapped(), mapped()
	size := Overhead + capacity
	h := &hostilePeer{mem: own[:size:size], other: other[:size:size], guard: other[size:]}

	h.path = filepath.Join(f.TempDir(), "gate")
	h.fifo = ipctest.FIFO(f, h.path)
	ipctest.Must(f, h.fifo.KeepOpen())
	h.in = ipctest.Open(f, h.path, unix.O_WRONLY|unix.O_NONBLOCK)
	h.drop = ipctest.Open(f, h.path, unix.O_RDONLY|unix.O_NONBLOCK)
	return h
}

// attack goes through script: three bytes say what to do, and with what.
func (h *hostilePeer) attack(script []byte) {
	ring, data := headerOf(h.mem), h.mem[Overhead:]
	var scratch [fifo.Atomic]byte
	for ; len(script) > 2; script = script[3:] {
		n := uint64(binary.LittleEndian.Uint16(script[1:]))
		switch script[0] % 13 {
		case 0: // as a peer would
			ring.tail.Add(n % uint64(len(data)))
		case 1:
			ring.head.Add(n % uint64(len(data)))
		case 2:
			ring.tail.Store(ring.head.Load() + n)
		case 3:
			ring.head.Store(ring.tail.Load() - n)
		case 4: // as no peer would
			ring.tail.Store(n << 48)
		case 5:
			ring.head.Store(-n)
		case 6:
			ring.ended.Store(uint32(n))
		case 7:
			ring.readerWaits.Store(uint32(n & 1))
			ring.writerWaits.Store(uint32(n >> 1 & 1))
		case 8:
			ring.capacity.Store(n)
			ring.magic.Store(n)
		case 9: // a length, among others
			binary.NativeEndian.PutUint16(data[n%uint64(len(data)-1):], uint16(n))
		case 10:
			_, _ = unix.Write(h.in, scratch[:1+n%fifo.Atomic])
		case 11:
			_, _ = unix.Read(h.drop, scratch[:1+n%fifo.Atomic])
		case 12: // a length, wherever it is looked for
			for i := 0; i+prefix <= len(data); i += prefix {
				binary.NativeEndian.PutUint32(data[i:], uint32(n))
			}
		}
	}
}

// format makes a new ring, and empties the FIFO.
func (h *hostilePeer) format(t *testing.T) {
	clear(h.mem)
	ipctest.Must(t, format(h.mem))
	for i := range h.guard {
		h.guard[i] = 0xa5
	}
	h.attack([]byte{11, 255, 255, 11, 255, 255})
}

// against calls step while the attack goes on, until the context is cancelled: then step
// has to return, and to have written to nothing but the ring.
func (h *hostilePeer) against(t *testing.T, ctx context.Context, cancel func(), script []byte, step func(n int)) {
	ipctest.Against(func() { h.attack(script) }, cancel, func(n int) bool {
		step(n)
		return ctx.Err() == nil
	})
	for _, b := range h.guard {
		if b != 0xa5 {
			t.Fatal("wrote behind the ring")
		}
	}
}

// twice is an io.Writer that has enough after two pieces.
type twice int

func (n *twice) Write(p []byte) (int, error) {
	if *n++; *n > 2 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

// FuzzHostileWriter lets a Reader read while the other side does anything to the
// ring and the FIFO.
func FuzzHostileWriter(f *testing.F) {
	f.Add([]byte{9, 5, 0, 0, 9, 0, 10, 1, 0})           // a message
	f.Add([]byte{12, 30, 0, 2, 9, 0, 10, 1, 0})         // a message longer than what is there
	f.Add([]byte{2, 64, 0, 2, 65, 0, 2, 0, 0, 4, 1, 0}) // full, too full, empty, nonsense
	f.Add([]byte{10, 255, 255})                         // a flood of tokens
	f.Add([]byte{10, 0, 0, 11, 0, 0, 7, 0, 0})          // tokens that vanish
	f.Add([]byte{6, 1, 0, 0, 2, 0, 6, 0, 0, 8, 1, 1})   // the end and no end
	f.Add([]byte{5, 3, 0, 3, 9, 0, 1, 1, 0})            // the reader's own index
	h := newHostilePeer(f, 64)
	f.Fuzz(func(t *testing.T, script []byte) {
		h.format(t)
		ctx, cancel := context.WithCancel(t.Context())
		gate, err := h.fifo.OpenReader(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer gate.Close()
		r, err := newReader(h.other, gate)
		if err != nil {
			t.Fatal(err)
		}
		r.SetSpin(10 * time.Microsecond)
		buf := make([]byte, 200)
		h.against(t, ctx, cancel, script, func(n int) {
			var got int
			switch n % 5 {
			case 0:
				got, _ = r.Receive(buf[:(100+7*n)%201])
			case 1:
				got, _ = r.Read(buf[:10*n%100])
			case 2:
				seen, err := r.Peek()
				if err == nil {
					_ = r.Discard(n % (1 + len(seen)))
				}
				got = len(seen)
			case 3:
				_, _ = r.WriteTo(new(twice))
			case 4:
				if again, err := newReader(h.other, gate); err == nil {
					again.SetSpin(r.spin)
					r = again
				}
			}
			if got < 0 || got > 64 {
				t.Errorf("%d bytes from a ring of 64", got)
			}
			if b := r.Buffered(); b < 0 || b > 64 {
				t.Errorf("%d buffered in a ring of 64", b)
			}
		})
	})
}

// FuzzHostileReader lets a Writer write while the other side does anything.
func FuzzHostileReader(f *testing.F) {
	f.Add([]byte{1, 9, 0, 11, 1, 0})                    // reads
	f.Add([]byte{3, 0, 0, 3, 64, 0, 3, 65, 0, 5, 1, 0}) // empty, full, too full, nonsense
	f.Add([]byte{10, 255, 255})                         // a flood of tokens
	f.Add([]byte{11, 255, 255, 7, 3, 0})                // tokens that vanish
	f.Add([]byte{4, 3, 0, 2, 9, 0, 0, 1, 0, 6, 1, 0})   // the writer's own words
	h := newHostilePeer(f, 64)
	f.Fuzz(func(t *testing.T, script []byte) {
		h.format(t)
		ctx, cancel := context.WithCancel(t.Context())
		gate, err := fifo.OpenWriter(ctx, h.path, fifo.NoWait)
		if err != nil {
			t.Fatal(err)
		}
		defer gate.Close()
		w, err := newWriter(h.other, gate)
		if err != nil {
			t.Fatal(err)
		}
		w.SetSpin(10 * time.Microsecond)
		text := make([]byte, 200)
		h.against(t, ctx, cancel, script, func(n int) {
			switch n % 6 {
			case 0:
				_ = w.Send(text[:10*n%70])
			case 1:
				_, _ = w.Write(text[:10*n%200])
			case 2:
				if space, err := w.Reserve(); err == nil {
					clear(space)
					_ = w.Commit(n % (1 + len(space)))
				}
			case 3:
				_, _ = w.ReadFrom(io.LimitReader(endless{}, int64(10*n%200)))
			case 4:
				_ = w.Flush()
			case 5:
				if again, err := newWriter(h.other, gate); err == nil {
					again.SetSpin(w.spin)
					w = again
				}
			}
			if u := w.Undelivered(); u < 0 || u > 64 {
				t.Errorf("%d undelivered in a ring of 64", u)
			}
		})
	})
}
