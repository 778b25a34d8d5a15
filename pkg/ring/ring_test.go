package ring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"unsafe"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/internal/ipctest"
	"example.com/ipcsuite/pkg/sysv"
)

// pair is both sides of a ring in memory of this process, where the race
// detector sees every access: it would find bytes that are read or written out
// of order.
type pair struct {
	mem    []byte
	w      *Writer
	r      *Reader
	out    *fifo.Writer
	in     *fifo.Reader
	cancel context.CancelCauseFunc // of both
}

func newPair(tb testing.TB, capacity int) *pair {
	tb.Helper()
	p := &pair{mem: make([]byte, Overhead+capacity)}
	ipctest.Must(tb, format(p.mem))
	var ctx context.Context
	ctx, p.cancel = context.WithCancelCause(context.Background())
	tb.Cleanup(func() { p.cancel(nil) })
	p.out, p.in = gate(tb, ctx, filepath.Join(tb.TempDir(), "gate"))
	p.reopen(tb)
	return p
}

// reopen makes both sides anew, as processes that take over would.
func (p *pair) reopen(tb testing.TB) {
	tb.Helper()
	var err error
	if p.w, err = newWriter(p.mem, p.out); err != nil {
		tb.Fatal(err)
	}
	if p.r, err = newReader(p.mem, p.in); err != nil {
		tb.Fatal(err)
	}
}

func (p *pair) header() *header { return headerOf(p.mem) }

func gate(tb testing.TB, ctx context.Context, path string) (*fifo.Writer, *fifo.Reader) {
	tb.Helper()
	f := ipctest.FIFO(tb, path)
	defer f.Close()
	out, err := fifo.OpenWriter(ctx, path, fifo.NoWait)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = out.Close() })
	in, err := f.OpenReader(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = in.Close() })
	page := os.Getpagesize()
	ipctest.Must(tb, errors.Join(out.SetCapacity(page), in.SetCapacity(page)))
	return out, in
}

func noise(n int) []byte {
	p := make([]byte, n)
	src := rand.NewChaCha8([32]byte{1})
	_, _ = src.Read(p)
	return p
}

// The layout is a contract with programs in other languages.
func TestLayoutIsAsDocumented(t *testing.T) {
	var h header
	for _, word := range []struct {
		name      string
		got, want uintptr
	}{
		{"magic", unsafe.Offsetof(h.magic), 0},
		{"version", unsafe.Offsetof(h.version), 8},
		{"overhead", unsafe.Offsetof(h.overhead), 12},
		{"capacity", unsafe.Offsetof(h.capacity), 16},
		{"tail", unsafe.Offsetof(h.tail), 128},
		{"ended", unsafe.Offsetof(h.ended), 136},
		{"head", unsafe.Offsetof(h.head), 256},
		{"readerWaits", unsafe.Offsetof(h.readerWaits), 384},
		{"writerWaits", unsafe.Offsetof(h.writerWaits), 512},
		{"data", uintptr(Overhead), 640},
	} {
		if word.got != word.want {
			t.Errorf("%s at offset %d, want %d", word.name, word.got, word.want)
		}
	}
	p := newPair(t, 100)
	if _, err := p.w.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if got := p.mem[:8]; string(got) != "ipc-ring" {
		t.Errorf("magic %q", got)
	}
	if got := p.mem[640:645]; string(got) != "hello" {
		t.Errorf("data %q", got)
	}
	if tail := p.header().tail.Load(); tail != 5 {
		t.Errorf("tail %d", tail)
	}
}

func TestStreamOfAnySizeThroughRingOfAnySize(t *testing.T) {
	for _, capacity := range []int{1, 2, 3, 5, 8, 61, 64, 127, 4096, 70000} {
		for _, spin := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d bytes, spin %v", capacity, spin), func(t *testing.T) {
				t.Parallel()
				p := newPair(t, capacity)
				if !spin {
					p.w.SetSpin(0)
					p.r.SetSpin(0)
				}
				data := noise(min(300*capacity, 1<<20) + 7)
				sent := ipctest.Go(func() error { return writeRandomly(p.w, data) })
				got, err := readRandomly(p.r)
				ipctest.Must(t, errors.Join(err, <-sent))
				if !bytes.Equal(got, data) {
					t.Errorf("%d bytes sent, %d received, or others", len(data), len(got))
				}
				if n := p.w.Undelivered(); n != 0 {
					t.Errorf("%d bytes undelivered", n)
				}
			})
		}
	}
}

// writeRandomly sends data in pieces of random length by all ways there are,
// and ends the stream.
func writeRandomly(w *Writer, data []byte) error {
	rnd := rand.New(rand.NewPCG(1, uint64(len(data))))
	for len(data) > 0 {
		n := min(len(data), 1+rnd.IntN(2*w.Capacity()))
		switch rnd.IntN(4) {
		case 0:
			if _, err := w.Write(data[:n]); err != nil {
				return err
			}
		case 1:
			space, err := w.Reserve()
			if err != nil {
				return err
			}
			n = copy(space, data[:n])
			if err := w.Commit(n); err != nil {
				return err
			}
		case 2:
			if _, err := w.ReadFrom(bytes.NewReader(data[:n])); err != nil {
				return err
			}
		case 3:
			var err error
			if n, err = writeInPieces(w, data[:n], rnd); err != nil {
				return err
			}
		}
		data = data[n:]
	}
	return errors.Join(w.End(), w.Flush())
}

// writeInPieces fills as much of the ring as it can reserve, piece by piece, the
// later ones while the earlier are committed, and returns how much that was.
func writeInPieces(w *Writer, data []byte, rnd *rand.Rand) (n int, err error) {
	var filled sync.WaitGroup
	defer filled.Wait()
	committed := 0
	for n < len(data) && n-committed < w.Capacity() {
		space, err := w.ReserveAfter(n - committed)
		if err != nil {
			return committed, err
		}
		space = space[:min(1+rnd.IntN(len(space)), len(data)-n)]
		piece := data[n : n+len(space)]
		filled.Go(func() { copy(space, piece) })
		if rnd.IntN(2) == 0 { // and otherwise with the next one
			m := n - committed
			filled.Wait()
			filled.Go(func() { copy(space, piece) })
			if err := w.Commit(m); err != nil {
				return committed, err
			}
			committed += m
		}
		n += len(space)
	}
	filled.Wait()
	return n, w.Commit(n - committed)
}

// readRandomly is its counterpart.
func readRandomly(r *Reader) (data []byte, err error) {
	rnd := rand.New(rand.NewPCG(2, 2))
	buf := make([]byte, 2*r.Capacity())
	for {
		if rnd.IntN(2) == 0 {
			n, err := r.Read(buf[:1+rnd.IntN(len(buf))])
			data = append(data, buf[:n]...)
			if err != nil {
				return data, noEOF(err)
			}
			continue
		}
		seen, err := r.Peek()
		if err != nil {
			return data, noEOF(err)
		}
		n := rnd.IntN(len(seen) + 1)
		data = append(data, seen[:n]...)
		if err := r.Discard(n); err != nil {
			return data, err
		}
	}
}

func noEOF(err error) error {
	if err == io.EOF { //nolint:errorlint // as any reader of a stream does
		return nil
	}
	return err
}

func TestReaderIsAReader(t *testing.T) {
	p := newPair(t, 4096)
	data := noise(3000)
	if _, err := p.w.Write(data); err != nil {
		t.Fatal(err)
	}
	ipctest.Must(t, p.w.End())
	if err := iotest.TestReader(p.r, data); err != nil {
		t.Error(err)
	}
}

func TestWriteToEndsWithTheStream(t *testing.T) {
	p := newPair(t, 64)
	data := noise(1000)
	go func() {
		_, _ = p.w.ReadFrom(iotest.OneByteReader(bytes.NewReader(data)))
		_ = p.w.End()
	}()
	var got bytes.Buffer
	if n, err := p.r.WriteTo(&got); n != 1000 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if !bytes.Equal(got.Bytes(), data) {
		t.Error("received other bytes")
	}
}

func TestMessages(t *testing.T) {
	for _, capacity := range []int{4, 5, 11, 64, 1000} {
		t.Run(fmt.Sprint(capacity), func(t *testing.T) {
			t.Parallel()
			p := newPair(t, capacity)
			limit := capacity - prefix
			const total = 2000
			data := noise(capacity)
			sent := ipctest.Go(func() (err error) {
				for i := 0; err == nil && i < total; i++ {
					err = p.w.Send(data[:i%(limit+1)])
				}
				return errors.Join(err, p.w.End())
			})
			buf := make([]byte, capacity)
			for i := range total {
				n, err := p.r.Receive(buf)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(buf[:n], data[:i%(limit+1)]) {
					t.Fatalf("message %d is another", i)
				}
			}
			_, err := p.r.Receive(buf)
			ipctest.Want(t, err, io.EOF)
			if err := <-sent; err != nil {
				t.Error(err)
			}
			ipctest.Want(t, p.w.Send(nil), ErrEnded)
		})
	}
}

func TestMessageThatDoesNotFit(t *testing.T) {
	p := newPair(t, 64)
	ipctest.Want(t, p.w.Send(make([]byte, 61)), unix.EMSGSIZE)
	ipctest.Must(t, p.w.Send([]byte("hello")))
	n, err := p.r.Receive(make([]byte, 4))
	ipctest.Want(t, err, io.ErrShortBuffer)
	if n != 5 {
		t.Errorf("length %d, want 5", n)
	}
	buf := make([]byte, n)
	if n, err := p.r.Receive(buf); n != 5 || err != nil || string(buf) != "hello" {
		t.Errorf("then %q, %v", buf[:n], err)
	}
}

func TestNothingUncommittedAppears(t *testing.T) {
	p := newPair(t, 64)
	space, err := p.w.Reserve()
	if err != nil || len(space) != 64 {
		t.Fatalf("%d bytes, %v", len(space), err)
	}
	copy(space, "not to be seen")
	if n := p.r.Buffered(); n != 0 {
		t.Errorf("%d bytes before commit", n)
	}
	ipctest.Want(t, p.w.Commit(65), unix.EINVAL)
	ipctest.Want(t, p.w.Commit(-1), unix.EINVAL)
	ipctest.Must(t, p.w.Commit(3))
	ipctest.Want(t, p.w.Commit(62), unix.EINVAL) // once only
	got, err := p.r.Peek()
	if string(got) != "not" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	ipctest.Want(t, p.r.Discard(4), unix.EINVAL)
	ipctest.Must(t, p.r.Discard(2))
	ipctest.Want(t, p.r.Discard(1), unix.EINVAL)
	if n := p.w.Undelivered(); n != 1 {
		t.Errorf("%d bytes undelivered, want 1", n)
	}
}

// What is reserved keeps what was put into it, in rings where it fits the end and
// where it does not, until it has been committed, in pieces of whatever size.
func TestReservedSpaceIsKept(t *testing.T) {
	for _, capacity := range []int{1, 2, 3, 64, 1000, 5000} {
		t.Run(fmt.Sprint(capacity), func(t *testing.T) {
			p := newPair(t, capacity)
			rnd := rand.New(rand.NewPCG(1, uint64(capacity)))
			data := noise(20*capacity + 7)
			filled, committed := 0, 0
			var got []byte
			for len(got) < len(data) {
				// Fill all there is, and commit a part.
				for filled < len(data) && filled-len(got) < capacity {
					space, err := p.w.ReserveAfter(filled - committed)
					if err != nil {
						t.Fatal(err)
					}
					n := copy(space[:1+rnd.IntN(len(space))], data[filled:])
					filled += n
				}
				if filled > committed {
					n := 1 + rnd.IntN(filled-committed)
					space, err := p.w.Reserve()
					if m := min(len(space), filled-committed); err != nil || !bytes.Equal(space[:m], data[committed:][:m]) {
						t.Fatalf("reserved again: other bytes, or %v", err)
					}
					ipctest.Must(t, p.w.Commit(n))
					committed += n
				}
				if p.r.Buffered() > 0 && rnd.IntN(2) == 0 {
					seen, err := p.r.Peek()
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, seen...)
					ipctest.Must(t, p.r.Discard(len(seen)))
				}
				if !bytes.Equal(got, data[:len(got)]) {
					t.Fatalf("other bytes among the first %d", len(got))
				}
			}
		})
	}
}

func TestReservedSpaceIsGivenUp(t *testing.T) {
	for name, f := range map[string]func(w *Writer) error{
		"Write":    func(w *Writer) error { _, err := w.Write(nil); return err },
		"Send":     func(w *Writer) error { return w.Send(nil) },
		"ReadFrom": func(w *Writer) error { _, err := w.ReadFrom(bytes.NewReader(nil)); return err },
		"End":      (*Writer).End,
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 64)
			if _, err := p.w.Reserve(); err != nil {
				t.Fatal(err)
			}
			ipctest.Must(t, f(p.w))
			ipctest.Want(t, p.w.Commit(1), unix.EINVAL)
		})
	}
}

func TestReserveAfterWhatIsNotReserved(t *testing.T) {
	p := newPair(t, 64)
	for _, n := range []int{1, 64, -1, math.MinInt, math.MaxInt} {
		_, err := p.w.ReserveAfter(n)
		ipctest.Want(t, err, unix.EINVAL)
	}
	if _, err := p.w.Reserve(); err != nil {
		t.Fatal(err)
	}
	_, err := p.w.ReserveAfter(64) // there will never be more
	ipctest.Want(t, err, unix.EINVAL)
	if space, err := p.w.ReserveAfter(63); len(space) != 1 || err != nil {
		t.Errorf("%d bytes, %v", len(space), err)
	}
}

// Both sides made anew go on where those before them stopped.
func TestTakingOver(t *testing.T) {
	p := newPair(t, 7)
	for i := range 20 {
		if _, err := p.w.Write([]byte{byte(i), byte(i), byte(i)}); err != nil {
			t.Fatal(err)
		}
		p.reopen(t)
		var got [3]byte
		if _, err := io.ReadFull(p.r, got[:]); err != nil || got != [3]byte{byte(i), byte(i), byte(i)} {
			t.Fatalf("%v, %v", got, err)
		}
		p.reopen(t)
	}
	ipctest.Must(t, p.w.End())
	_, err := newWriter(p.mem, p.out)
	ipctest.Want(t, err, ErrEnded)
}

func TestCancelEndsWaits(t *testing.T) {
	cause := errors.New("enough")
	buf := make([]byte, 64)
	for _, op := range []struct {
		name  string
		full  bool
		run   func(p *pair) error
		waits func(h *header) bool
	}{
		{"Read", false, func(p *pair) error { _, err := p.r.Read(buf); return err }, readerWaits},
		{"Peek", false, func(p *pair) error { _, err := p.r.Peek(); return err }, readerWaits},
		{"Receive", false, func(p *pair) error { _, err := p.r.Receive(buf); return err }, readerWaits},
		{"WriteTo", false, func(p *pair) error { _, err := p.r.WriteTo(io.Discard); return err }, readerWaits},
		{"Write", true, func(p *pair) error { _, err := p.w.Write(buf); return err }, writerWaits},
		{"Reserve", true, func(p *pair) error { _, err := p.w.Reserve(); return err }, writerWaits},
		{"Send", true, func(p *pair) error { return p.w.Send(buf[:8]) }, writerWaits},
		{"ReadFrom", true, func(p *pair) error { _, err := p.w.ReadFrom(bytes.NewReader(buf)); return err }, writerWaits},
		{"Flush", true, func(p *pair) error { return p.w.Flush() }, writerWaits},
	} {
		for _, end := range []struct {
			name string
			do   func(p *pair, writer bool)
			want error
		}{
			{"cancelled", func(p *pair, _ bool) { p.cancel(cause) }, cause},
			{"closed", func(p *pair, writer bool) {
				if writer {
					_ = p.out.Close()
				} else {
					_ = p.in.Close()
				}
			}, os.ErrClosed},
		} {
			t.Run(op.name+" "+end.name, func(t *testing.T) {
				t.Parallel()
				p := newPair(t, 64)
				if op.full {
					if _, err := p.w.Write(make([]byte, 64)); err != nil {
						t.Fatal(err)
					}
				}
				done := ipctest.Go(func() error { return op.run(p) })
				ipctest.Eventually(t, "it waits", func() bool { return op.waits(p.header()) })
				end.do(p, op.full)
				ipctest.Want(t, ipctest.Within(t, done), end.want)
			})
		}
	}
}

// A stream that never has to wait is ended too.
func TestCloseEndsStreamAtFullSpeed(t *testing.T) {
	p := newPair(t, 4096)
	sent := ipctest.Go(func() error { _, err := p.w.ReadFrom(endless{}); return err })
	got := ipctest.Go(func() error { _, err := p.r.WriteTo(io.Discard); return err })
	_ = p.in.Close()
	ipctest.Want(t, ipctest.Within(t, got), os.ErrClosed)
	ipctest.Want(t, ipctest.Within(t, sent), unix.EPIPE)

	p = newPair(t, 4096)
	cause := errors.New("enough")
	go func() { _, _ = p.r.WriteTo(io.Discard) }()
	p.cancel(cause)
	_, err := p.w.ReadFrom(endless{})
	ipctest.Want(t, err, cause)
}

// What is in the ring, or out of it, counts also when to wake the other side fails.
func TestReadFromAndWriteToCountAllThatHasMoved(t *testing.T) {
	t.Parallel()
	t.Run("ReadFrom", func(t *testing.T) {
		t.Parallel()
		p := newPair(t, 64)
		p.header().readerWaits.Store(1)
		n, err := p.w.ReadFrom(step(func(b []byte) (int, error) {
			_ = p.out.Close()
			return copy(b, "abc"), nil
		}))
		ipctest.Want(t, err, os.ErrClosed)
		if got := p.r.Buffered(); n != 3 || got != 3 {
			t.Errorf("ReadFrom says %d bytes, and %d are in the ring; want 3", n, got)
		}
	})
	t.Run("WriteTo", func(t *testing.T) {
		t.Parallel()
		p := newPair(t, 64)
		if _, err := p.w.Write([]byte("abc")); err != nil {
			t.Fatal(err)
		}
		p.header().writerWaits.Store(1)
		n, err := p.r.WriteTo(step(func(b []byte) (int, error) {
			_ = p.in.Close()
			return len(b), nil
		}))
		ipctest.Want(t, err, os.ErrClosed)
		if n != 3 || p.r.Buffered() != 0 {
			t.Errorf("WriteTo says %d bytes, and %d are in the ring; want 3 and 0", n, p.r.Buffered())
		}
	})
}

// step is what a source or a sink does.
type step func([]byte) (int, error)

func (s step) Read(p []byte) (int, error)  { return s(p) }
func (s step) Write(p []byte) (int, error) { return s(p) }

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func readerWaits(h *header) bool { return h.readerWaits.Load() != 0 }
func writerWaits(h *header) bool { return h.writerWaits.Load() != 0 }

func TestClosedSides(t *testing.T) {
	p := newPair(t, 64)
	ipctest.Must(t, errors.Join(p.w.Close(), p.w.Close(), p.r.Close(), p.r.Close()))
	_, err := p.w.Write([]byte("x"))
	ipctest.Want(t, err, os.ErrClosed)
	_, err = p.w.Reserve()
	ipctest.Want(t, err, os.ErrClosed)
	ipctest.Want(t, p.w.Send(nil), os.ErrClosed)
	ipctest.Want(t, p.w.Commit(1), os.ErrClosed)
	ipctest.Want(t, p.r.Discard(1), os.ErrClosed)
	ipctest.Want(t, p.w.Flush(), os.ErrClosed)
	ipctest.Want(t, p.w.End(), os.ErrClosed)
	_, err = p.r.Read(make([]byte, 1))
	ipctest.Want(t, err, os.ErrClosed)
	_, err = p.r.Peek()
	ipctest.Want(t, err, os.ErrClosed)
	_, err = p.r.Receive(nil)
	ipctest.Want(t, err, os.ErrClosed)
	if p.w.Undelivered() != 0 || p.r.Buffered() != 0 {
		t.Error("there is something in a closed ring")
	}
}

func TestIncompatibleRingIsRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(h *header)
	}{
		{"not formatted", func(h *header) { h.magic.Store(0) }},
		{"other byte order", func(h *header) { h.magic.Store(bits.ReverseBytes64(magic)) }},
		{"other version", func(h *header) { h.version.Store(2) }},
		{"other header", func(h *header) { h.overhead.Store(64) }},
		{"capacity 0", func(h *header) { h.capacity.Store(0) }},
		{"too large", func(h *header) { h.capacity.Store(65) }},
		{"huge", func(h *header) { h.capacity.Store(math.MaxUint64) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPair(t, 64)
			c.do(p.header())
			_, err := newWriter(p.mem, p.out)
			ipctest.Want(t, err, ErrIncompatible)
			_, err = newReader(p.mem, p.in)
			ipctest.Want(t, err, ErrIncompatible)
			_, _, err = parts(p.mem) // of which Check asks
			ipctest.Want(t, err, ErrIncompatible)
		})
	}
	_, err := newReader(make([]byte, Overhead), nil)
	ipctest.Want(t, err, ErrIncompatible)
	ipctest.Want(t, format(make([]byte, Overhead)), unix.EINVAL)
}

func TestHostileIndicesAreRefused(t *testing.T) {
	for _, tail := range []uint64{0, 1, 49, 115, 1 << 32, math.MaxInt64, math.MaxUint64} {
		p := newPair(t, 64)
		p.advance(t, 50) // so the head is at 50, and the tail may be up to 114
		p.header().tail.Store(tail)
		_, err := p.r.Read(make([]byte, 64))
		ipctest.Want(t, err, ErrCorrupt)
		_, err = p.r.Peek()
		ipctest.Want(t, err, ErrCorrupt)
		_, err = p.r.Receive(make([]byte, 64))
		ipctest.Want(t, err, ErrCorrupt)
		_, err = newReader(p.mem, p.in)
		ipctest.Want(t, err, ErrCorrupt)
	}
	for _, head := range []uint64{0, 49, 115, 1 << 32, math.MaxInt64, math.MaxUint64} {
		p := newPair(t, 64)
		p.advance(t, 50)
		if _, err := p.w.Write(make([]byte, 64)); err != nil { // tail 114
			t.Fatal(err)
		}
		p.header().head.Store(head)
		_, err := p.w.Write([]byte("x"))
		ipctest.Want(t, err, ErrCorrupt)
		_, err = p.w.Reserve()
		ipctest.Want(t, err, ErrCorrupt)
		ipctest.Want(t, p.w.Flush(), ErrCorrupt)
		if n := p.w.Undelivered(); n != 64 {
			t.Errorf("%d undelivered", n)
		}
	}
}

// advance sends n bytes through the ring.
func (p *pair) advance(tb testing.TB, n int) {
	tb.Helper()
	if _, err := p.w.Write(make([]byte, n)); err != nil {
		tb.Fatal(err)
	}
	if _, err := io.ReadFull(p.r, make([]byte, n)); err != nil {
		tb.Fatal(err)
	}
}

func TestHostileLengthIsRefused(t *testing.T) {
	for _, length := range []uint32{3, 60, 61, 1 << 31, math.MaxUint32} {
		p := newPair(t, 64)
		// The length says more than the two bytes that follow it.
		if _, err := p.w.Write([]byte{byte(length), byte(length >> 8), byte(length >> 16), byte(length >> 24), 1, 2}); err != nil {
			t.Fatal(err)
		}
		_, err := p.r.Receive(make([]byte, 64))
		ipctest.Want(t, err, ErrCorrupt)
	}
	p := newPair(t, 64)
	if _, err := p.w.Write([]byte{1, 0}); err != nil {
		t.Fatal(err)
	}
	ipctest.Must(t, p.w.End())
	_, err := p.r.Receive(nil)
	ipctest.Want(t, err, io.ErrUnexpectedEOF)
}

// Whatever stands in the segment, and however it changes between two calls:
// with the waits cancelled, every call returns, and none reaches outside.
func FuzzHostileSegment(f *testing.F) {
	f.Add(uint64(0), uint64(0), uint32(0), []byte("hello"))
	f.Add(uint64(70), uint64(6), uint32(1), []byte{255, 255, 255, 255, 0})
	f.Add(uint64(math.MaxUint64), uint64(math.MaxUint64-3), uint32(1), []byte{4, 0, 0, 0, 1, 2, 3, 4})
	f.Add(uint64(1), uint64(2), uint32(7), []byte{})
	p := newPair(f, 64)
	p.cancel(errors.New("no waiting"))
	const guard = 0xa5
	block := make([]byte, Overhead+64+64)
	mem := block[: Overhead+64 : Overhead+64]
	f.Fuzz(func(t *testing.T, tail, head uint64, flags uint32, data []byte) {
		for i := range block {
			block[i] = guard
		}
		ipctest.Must(t, format(mem))
		copy(mem[Overhead:], data)
		h := headerOf(mem)
		hostile := func() {
			h.tail.Store(tail)
			h.head.Store(head)
			h.readerWaits.Store(flags)
			h.writerWaits.Store(flags >> 1)
			h.capacity.Store(tail)
		}
		r, err := newReader(mem, p.in)
		if err != nil {
			t.Fatal(err)
		}
		w, err := newWriter(mem, p.out)
		if err != nil {
			t.Fatal(err)
		}
		r.SetSpin(0)
		w.SetSpin(0)
		w.stopped = new(atomic.Pointer[error]) // so that it goes on to a wait
		buf := make([]byte, 100)
		for range 3 {
			hostile()
			_, _ = r.Receive(buf)
			hostile()
			_, _ = r.Read(buf)
			hostile()
			if seen, err := r.Peek(); err == nil {
				hostile()
				_ = r.Discard(len(seen))
			}
			hostile()
			_ = w.Send(data)
			hostile()
			_, _ = w.Write(data)
			hostile()
			if space, err := w.Reserve(); err == nil {
				clear(space)
				hostile()
				_ = w.Commit(len(space))
			}
			hostile()
			_ = w.Flush()
			if n := w.Undelivered(); n < 0 || n > 64 {
				t.Errorf("%d bytes undelivered", n)
			}
			if n := r.Buffered(); n < 0 || n > 64 {
				t.Errorf("%d bytes buffered", n)
			}
		}
		h.capacity.Store(64)
		_, _ = newReader(mem, p.in) // may be refused, must not panic
		for _, b := range block[len(mem):] {
			if b != guard {
				t.Fatal("wrote outside the ring")
			}
		}
	})
}

func TestNoAllocations(t *testing.T) {
	p := newPair(t, 4096)
	buf := make([]byte, 64)
	src, dst := bytes.NewReader(nil), new(bytes.Buffer)
	dst.Grow(4096)
	check := func(name string, f func() error) {
		t.Helper()
		ipctest.NoAllocations(t, func() {
			if err := f(); err != nil {
				t.Fatal(name, err)
			}
		})
	}
	check("messages", func() error {
		err := p.w.Send(buf)
		_, err2 := p.r.Receive(buf)
		return errors.Join(err, err2)
	})
	check("bytes", func() error {
		_, err := p.w.Write(buf)
		_, err2 := p.r.Read(buf)
		return errors.Join(err, err2)
	})
	check("in place", func() error {
		space, err := p.w.Reserve()
		err2 := p.w.Commit(len(space))
		seen, err3 := p.r.Peek()
		return errors.Join(err, err2, err3, p.r.Discard(len(seen)))
	})
	check("in pieces", func() error {
		_, err := p.w.Reserve()
		_, err2 := p.w.ReserveAfter(1)
		err3 := errors.Join(p.w.Commit(1), p.w.Commit(63))
		_, err4 := io.ReadFull(p.r, buf)
		return errors.Join(err, err2, err3, err4)
	})
	check("ReadFrom", func() error {
		src.Reset(buf)
		_, err := p.w.ReadFrom(src)
		_, err2 := io.ReadFull(p.r, buf)
		return errors.Join(err, err2)
	})
	// With sleeps, on both sides.
	p.w.SetSpin(0)
	p.r.SetSpin(0)
	stop := errors.New("stop")
	echo := ipctest.Go(func() (err error) {
		buf := make([]byte, 8192)
		for err == nil {
			_, err = p.r.Read(buf[:100])
		}
		return err
	})
	big := make([]byte, 10000)
	check("sleeping", func() error {
		_, err := p.w.Write(big)
		return errors.Join(err, p.w.Flush())
	})
	p.cancel(stop)
	ipctest.Want(t, ipctest.Within(t, echo), stop)
}

// Not parallel: it counts the goroutines.
func TestNoGoroutineStays(t *testing.T) {
	seg := ipctest.Segment(t, Overhead+64)
	ipctest.Must(t, errors.Join(seg.Attach(), Format(seg)))
	out, in := gate(t, t.Context(), filepath.Join(t.TempDir(), "gate"))
	before := runtime.NumGoroutine()
	w, err := NewWriter(seg, out)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(seg, in)
	if err != nil {
		t.Fatal(err)
	}
	ipctest.Must(t, errors.Join(w.Close(), r.Close(), out.Close(), in.Close()))
	ipctest.Eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}

func TestSegmentStaysWhileInUse(t *testing.T) {
	seg := ipctest.Segment(t, Overhead+64)
	out, in := gate(t, t.Context(), filepath.Join(t.TempDir(), "gate"))

	ipctest.Want(t, Format(seg), sysv.ErrDetached)
	ipctest.Want(t, Check(seg), sysv.ErrDetached)
	_, err := NewWriter(seg, out)
	ipctest.Want(t, err, sysv.ErrDetached)
	_, err = NewReader(seg, in)
	ipctest.Want(t, err, sysv.ErrDetached)

	ipctest.Must(t, seg.AttachReadOnly())
	ipctest.Want(t, Format(seg), sysv.ErrReadOnly)
	_, err = NewReader(seg, in)
	ipctest.Want(t, err, sysv.ErrReadOnly)
	ipctest.Must(t, errors.Join(seg.Detach(), seg.Attach()))

	_, err = NewWriter(seg, out)
	ipctest.Want(t, err, ErrIncompatible)
	ipctest.Want(t, Check(seg), ErrIncompatible)
	ipctest.Must(t, errors.Join(Format(seg), Check(seg)))
	w, err := NewWriter(seg, out)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(seg, in)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = w.Close(), r.Close() }() // or nothing could detach the segment
	detached := ipctest.Go(seg.Detach)
	for range 100 {
		ipctest.Must(t, w.Send([]byte("hello")))
		if _, err := r.Receive(make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-detached:
		t.Fatalf("detached in use: %v", err)
	default:
	}
	if err := errors.Join(w.Close(), r.Close(), <-detached); err != nil {
		t.Error(err)
	}
}
