package ring_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/fork"
	"example.com/ipcsuite/pkg/internal/ipctest"
	"example.com/ipcsuite/pkg/ring"
	"example.com/ipcsuite/pkg/sysv"
)

func TestMain(m *testing.M) { ipctest.Main(m, roles) }

// roles are what a child can do. It says a line when it has come to where its name
// says, or what it has found; a role that ends returns.
var roles = fork.Roles{
	// has committed "committed" and filled what is reserved
	"reserved": ipctest.Role(func(args []string) error {
		w, err := childWriter(args)
		if err != nil {
			return err
		}
		if _, err := w.Write([]byte("committed")); err != nil {
			return err
		}
		space, err := w.Reserve()
		if err != nil {
			return err
		}
		copy(space, "never to be seen")
		return ready()
	}),
	// has filled the ring and waits for more room, asleep or looking
	"full writer": ipctest.Role(func(args []string) error {
		w, err := childWriter(args)
		if err != nil {
			return err
		}
		if _, err := w.Write(make([]byte, w.Capacity())); err != nil {
			return err
		}
		fmt.Println("ready")
		_, err = w.Write([]byte("x"))
		return err
	}),
	// has ended the stream and left
	"ended writer": ipctest.Role(func(args []string) error {
		w, err := childWriter(args)
		if err != nil {
			return err
		}
		if _, err := w.Write([]byte("committed")); err != nil {
			return err
		}
		return errors.Join(w.End(), w.Close())
	}),
	// waits for bytes, asleep or looking
	"empty reader": ipctest.Role(func(args []string) error {
		r, err := childReader(args)
		if err != nil {
			return err
		}
		fmt.Println("ready")
		_, err = r.Peek()
		return err
	}),
	// has read one byte, and looks at others without freeing them
	"peeking reader": ipctest.Role(func(args []string) error {
		r, err := childReader(args)
		if err != nil {
			return err
		}
		if _, err := r.Read(make([]byte, 1)); err != nil {
			return err
		}
		if _, err := r.Peek(); err != nil {
			return err
		}
		return ready()
	}),
	// reads all in pieces of random length, and says what the checksum is
	"checksum": ipctest.Role(func(args []string) error {
		r, err := childReader(args)
		if err != nil {
			return err
		}
		sum, buf, rnd := crc32.NewIEEE(), make([]byte, 2*r.Capacity()), rand.New(rand.NewPCG(3, 4))
		for err == nil {
			var n int
			n, err = r.Read(buf[:1+rnd.IntN(len(buf))])
			sum.Write(buf[:n])
		}
		if err != io.EOF { //nolint:errorlint // as any reader of a stream does
			return err
		}
		fmt.Printf("%08x\n", sum.Sum32())
		return nil
	}),
	// reads all and says nothing
	"sink": ipctest.Role(func(args []string) error {
		r, err := childReader(args)
		if err != nil {
			return err
		}
		for buf := make([]byte, 64<<10); err == nil; {
			_, err = r.Read(buf)
		}
		return err
	}),
	// receives messages to the end and checks them
	"receiver": ipctest.Role(func(args []string) error {
		r, err := childReader(args)
		if err != nil {
			return err
		}
		buf := make([]byte, 4096)
		for i := byte(0); ; i++ {
			n, err := r.Receive(buf)
			if err != nil {
				return err
			}
			if buf[0] != i || buf[n-1] != i {
				return fmt.Errorf("message %d came as %d", i, buf[0])
			}
		}
	}),
	// sends every message back through a second ring
	"echo": ipctest.Role(func(args []string) error {
		w, err := childWriter(args[3:])
		if err != nil {
			return err
		}
		r, err := childReader(args)
		if err != nil {
			return err
		}
		buf := make([]byte, 4096)
		for {
			n, err := r.Receive(buf)
			if err == io.EOF { //nolint:errorlint // as any reader of a stream does
				return w.End()
			}
			if err != nil {
				return err
			}
			if err := w.Send(buf[:n]); err != nil {
				return err
			}
		}
	}),
}

// ready says so and waits to be killed.
func ready() error {
	fmt.Println("ready")
	ipctest.StdinEnds()
	return nil
}

func childSegment(args []string) (*sysv.Segment, time.Duration, error) {
	spin, err := time.ParseDuration(args[2])
	if err != nil {
		return nil, 0, err
	}
	seg, err := ipctest.OpenSegment(args[0])
	return seg, spin, err
}

func childWriter(args []string) (*ring.Writer, error) {
	seg, spin, err := childSegment(args)
	if err != nil {
		return nil, err
	}
	gate, err := fifo.OpenWriter(context.Background(), args[1], fifo.WaitReader)
	if err != nil {
		return nil, err
	}
	w, err := ring.NewWriter(seg, gate)
	if err != nil {
		return nil, err
	}
	w.SetSpin(spin)
	return w, nil
}

func childReader(args []string) (*ring.Reader, error) {
	seg, spin, err := childSegment(args)
	if err != nil {
		return nil, err
	}
	gate, err := fifo.OpenReader(context.Background(), args[1])
	if err != nil {
		return nil, err
	}
	r, err := ring.NewReader(seg, gate)
	if err != nil {
		return nil, err
	}
	r.SetSpin(spin)
	return r, nil
}

// place is where two processes meet: a segment with a ring, and a FIFO.
type place struct {
	seg  *sysv.Segment
	f    *fifo.FIFO
	spin time.Duration // of both
}

func newPlace(tb testing.TB, capacity int, spin time.Duration) *place {
	tb.Helper()
	seg := ipctest.Segment(tb, ring.Overhead+capacity)
	ipctest.Must(tb, seg.Attach())
	ipctest.Must(tb, ring.Format(seg))
	return &place{seg, ipctest.FIFO(tb, filepath.Join(tb.TempDir(), "gate")), spin}
}

func (p *place) args() []string {
	return []string{strconv.Itoa(p.seg.ID()), p.f.Path(), p.spin.String()}
}

// reader returns the receiving side, when a writer is there.
func (p *place) reader(tb testing.TB) *ring.Reader {
	tb.Helper()
	r, err := ring.NewReader(p.seg, ipctest.Reader(tb, p.f))
	ipctest.Must(tb, err)
	tb.Cleanup(func() { _ = r.Close() })
	r.SetSpin(p.spin)
	return r
}

// writer returns the sending side, when a reader is there.
func (p *place) writer(tb testing.TB) *ring.Writer {
	tb.Helper()
	w, err := ring.NewWriter(p.seg, ipctest.Writer(tb, p.f.Path()))
	ipctest.Must(tb, err)
	tb.Cleanup(func() { _ = w.Close() })
	w.SetSpin(p.spin)
	return w
}

// awaitFlag returns when the word at offset is not 0.
func (p *place) awaitFlag(tb testing.TB, offset int) {
	tb.Helper()
	ipctest.Must(tb, p.seg.Use(func(mem []byte) error {
		word := (*atomic.Uint32)(unsafe.Pointer(&mem[offset]))
		ipctest.Eventually(tb, "the other side waits", func() bool { return word.Load() != 0 })
		return nil
	}))
}

const (
	readerWaits = 384 // as documented
	writerWaits = 512
)

const (
	asleep  = time.Duration(0)
	looking = time.Hour
)

func TestKilledWriter(t *testing.T) {
	for _, c := range []struct {
		role string
		spin time.Duration
		flag int
		want string
	}{
		{"reserved", asleep, 0, "committed"},
		{"full writer", asleep, writerWaits, strings.Repeat("\x00", 64)},
		{"full writer", looking, 0, strings.Repeat("\x00", 64)},
	} {
		t.Run(fmt.Sprintf("%s, spin %v", c.role, c.spin), func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, 64, c.spin)
			child := ipctest.Run(t, c.role, p.args()...)
			r := p.reader(t)
			r.SetSpin(asleep)
			child.Expect("ready")
			if c.flag != 0 {
				p.awaitFlag(t, c.flag)
			}
			child.Kill()
			got, err := io.ReadAll(r)
			if string(got) != c.want {
				t.Errorf("read %q, want %q", got, c.want)
			}
			ipctest.Want(t, err, io.ErrUnexpectedEOF)
		})
	}
}

// The reader is asleep when the writer is killed.
func TestKilledWriterEndsSleep(t *testing.T) {
	p := newPlace(t, 64, asleep)
	child := ipctest.Run(t, "reserved", p.args()...)
	r := p.reader(t)
	child.Expect("ready")
	ipctest.Must(t, read(r, "committed"))
	done := ipctest.Go(func() error { _, err := r.Peek(); return err })
	p.awaitFlag(t, readerWaits)
	child.Kill()
	ipctest.Want(t, ipctest.Within(t, done), io.ErrUnexpectedEOF)
}

func TestEndedStreamOutlivesWriter(t *testing.T) {
	for _, spin := range []time.Duration{asleep, looking} {
		p := newPlace(t, 64, spin)
		child := ipctest.Run(t, "ended writer", p.args()...)
		r := p.reader(t)
		child.Ends()
		if got, err := io.ReadAll(r); string(got) != "committed" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
	}
}

func read(r io.Reader, want string) error {
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil {
		return err
	}
	if string(got) != want {
		return fmt.Errorf("read %q, want %q", got, want)
	}
	return nil
}

func TestKilledReader(t *testing.T) {
	for _, c := range []struct {
		role string
		spin time.Duration
		sent int // before it is killed
		left int
	}{
		{"empty reader", asleep, 0, 0},
		{"empty reader", looking, 0, 0},
		{"peeking reader", asleep, 10, 9},
	} {
		t.Run(fmt.Sprintf("%s, spin %v", c.role, c.spin), func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, 64, c.spin)
			child := ipctest.Run(t, c.role, p.args()...)
			w := p.writer(t)
			w.SetSpin(asleep)
			if _, err := w.Write(make([]byte, c.sent)); err != nil {
				t.Fatal(err)
			}
			child.Expect("ready")
			if c.role == "empty reader" && c.spin == asleep {
				p.awaitFlag(t, readerWaits)
			}
			p.f.Close()
			child.Kill()
			// It shows also where there is room enough.
			for {
				if _, err := w.Reserve(); err != nil {
					ipctest.Want(t, err, unix.EPIPE)
					break
				}
				runtime.Gosched()
			}
			if n := w.Undelivered(); n != c.left {
				t.Errorf("%d bytes undelivered, want %d", n, c.left)
			}
			err := w.Flush()
			if c.left == 0 && err != nil {
				t.Errorf("flush: %v", err)
			} else if c.left > 0 {
				ipctest.Want(t, err, unix.EPIPE)
			}
		})
	}
}

// The writer is asleep, or looks at the ring, when the reader is killed.
func TestKilledReaderEndsWait(t *testing.T) {
	for _, spin := range []time.Duration{asleep, looking} {
		p := newPlace(t, 64, spin)
		child := ipctest.Run(t, "peeking reader", p.args()...)
		w := p.writer(t)
		if _, err := w.Write(make([]byte, 64)); err != nil {
			t.Fatal(err)
		}
		child.Expect("ready")
		p.f.Close()
		done := ipctest.Go(func() error { _, err := w.Write(make([]byte, 64)); return err })
		if spin == asleep {
			p.awaitFlag(t, writerWaits)
		}
		child.Kill()
		ipctest.Want(t, ipctest.Within(t, done), unix.EPIPE)
		// It had freed one byte, into which one of the 64 may have gone.
		if n := w.Undelivered(); n != 63 && n != 64 {
			t.Errorf("spin %v: %d bytes undelivered", spin, n)
		}
	}
}

func TestStreamBetweenProcesses(t *testing.T) {
	for _, capacity := range []int{64, 1000, 1 << 16} {
		for _, spin := range []time.Duration{asleep, ring.SpinTime} {
			t.Run(fmt.Sprintf("%d bytes, spin %v", capacity, spin), func(t *testing.T) {
				p := newPlace(t, capacity, spin)
				child := ipctest.Run(t, "checksum", p.args()...)
				w := p.writer(t)
				sum, rnd := crc32.NewIEEE(), rand.New(rand.NewPCG(1, 2))
				data := make([]byte, 2*capacity)
				for i := range data {
					data[i] = byte(rnd.Uint32())
				}
				for range 300 {
					n := rnd.IntN(len(data) + 1)
					if _, err := w.Write(data[:n]); err != nil {
						t.Fatal(err)
					}
					sum.Write(data[:n])
				}
				ipctest.Must(t, errors.Join(w.End(), w.Flush()))
				if got, want := child.Line(), fmt.Sprintf("%08x", sum.Sum32()); got != want {
					t.Errorf("checksum %s, want %s", got, want)
				}
				child.Ends()
			})
		}
	}
}

// pingPong returns the two sides of an echo in another process.
func pingPong(tb testing.TB, capacity int, spin time.Duration) (w *ring.Writer, r *ring.Reader, c *ipctest.Child) {
	tb.Helper()
	there, back := newPlace(tb, capacity, spin), newPlace(tb, capacity, spin)
	c = ipctest.Run(tb, "echo", append(there.args(), back.args()...)...)
	w = there.writer(tb)
	r = back.reader(tb)
	return w, r, c
}

func TestMessagesThereAndBack(t *testing.T) {
	for _, spin := range []time.Duration{asleep, ring.SpinTime} {
		w, r, child := pingPong(t, 4096, spin)
		buf := make([]byte, 4096)
		for i := range 2000 {
			msg := fmt.Appendf(nil, "message %*d", i%1000, i)
			ipctest.Must(t, w.Send(msg))
			n, err := r.Receive(buf)
			if err != nil || string(buf[:n]) != string(msg) {
				t.Fatalf("%q, %v", buf[:n], err)
			}
		}
		ipctest.Must(t, w.End())
		_, err := r.Receive(buf)
		ipctest.Want(t, err, io.EOF)
		child.Ends()
	}
}
