package ring_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"sync/atomic"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/fork"
	"example.com/ipcsuite/pkg/ring"
	"example.com/ipcsuite/pkg/sysv"
)

func TestMain(m *testing.M) {
	fork.Dispatch(roles)
	os.Exit(m.Run())
}

// roles are what a child can do. It says a line on stdout when it has come to
// where its name says, or what it has found; a role that ends returns.
var roles = fork.Roles{
	// has committed "committed" and filled what is reserved
	"reserved": role(func(ctx context.Context, args []string) error {
		w, err := childWriter(ctx, args)
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
		return ready(ctx)
	}),
	// has filled the ring and waits for more room, asleep or looking
	"full writer": role(func(ctx context.Context, args []string) error {
		w, err := childWriter(ctx, args)
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
	"ended writer": role(func(ctx context.Context, args []string) error {
		w, err := childWriter(ctx, args)
		if err != nil {
			return err
		}
		if _, err := w.Write([]byte("committed")); err != nil {
			return err
		}
		return errors.Join(w.End(), w.Close())
	}),
	// waits for bytes, asleep or looking
	"empty reader": role(func(ctx context.Context, args []string) error {
		r, err := childReader(ctx, args)
		if err != nil {
			return err
		}
		fmt.Println("ready")
		_, err = r.Peek()
		return err
	}),
	// has read one byte, and looks at others without freeing them
	"peeking reader": role(func(ctx context.Context, args []string) error {
		r, err := childReader(ctx, args)
		if err != nil {
			return err
		}
		if _, err := r.Read(make([]byte, 1)); err != nil {
			return err
		}
		if _, err := r.Peek(); err != nil {
			return err
		}
		return ready(ctx)
	}),
	// reads all in pieces of random length, and says what the checksum is
	"checksum": role(func(ctx context.Context, args []string) error {
		r, err := childReader(ctx, args)
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
	"sink": role(func(ctx context.Context, args []string) error {
		r, err := childReader(ctx, args)
		if err != nil {
			return err
		}
		for buf := make([]byte, 64<<10); err == nil; {
			_, err = r.Read(buf)
		}
		if err == io.EOF { //nolint:errorlint // as any reader of a stream does
			return nil
		}
		return err
	}),
	// receives messages to the end and checks them
	"receiver": role(func(ctx context.Context, args []string) error {
		r, err := childReader(ctx, args)
		if err != nil {
			return err
		}
		buf := make([]byte, 4096)
		for i := byte(0); ; i++ {
			n, err := r.Receive(buf)
			switch {
			case err == io.EOF: //nolint:errorlint // as any reader of a stream does
				return nil
			case err != nil:
				return err
			case buf[0] != i || buf[n-1] != i:
				return fmt.Errorf("message %d came as %d", i, buf[0])
			}
		}
	}),
	// sends every message back through a second ring
	"echo": role(func(ctx context.Context, args []string) error {
		w, err := childWriter(ctx, args[3:])
		if err != nil {
			return err
		}
		r, err := childReader(ctx, args)
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

func role(run func(ctx context.Context, args []string) error) fork.Role {
	return func(ctx context.Context, args []string) int {
		if err := run(ctx, args); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			return 1
		}
		return 0
	}
}

// ready says so and waits to be killed.
func ready(ctx context.Context) error {
	fmt.Println("ready")
	<-ctx.Done()
	return context.Cause(ctx)
}

func childSegment(args []string) (*sysv.Segment, time.Duration, error) {
	id, err := strconv.Atoi(args[0])
	if err != nil {
		return nil, 0, err
	}
	spin, err := time.ParseDuration(args[2])
	if err != nil {
		return nil, 0, err
	}
	seg, err := sysv.OpenID(id)
	if err != nil {
		return nil, 0, err
	}
	return seg, spin, seg.Attach()
}

func childWriter(ctx context.Context, args []string) (*ring.Writer, error) {
	seg, spin, err := childSegment(args)
	if err != nil {
		return nil, err
	}
	gate, err := fifo.OpenWriter(ctx, args[1], fifo.WaitReader)
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

func childReader(ctx context.Context, args []string) (*ring.Reader, error) {
	seg, spin, err := childSegment(args)
	if err != nil {
		return nil, err
	}
	gate, err := fifo.OpenReader(ctx, args[1])
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
	path string
	spin time.Duration // of both
	f    *fifo.FIFO
}

func newPlace(tb testing.TB, capacity int, spin time.Duration) *place {
	tb.Helper()
	seg, err := sysv.Create(sysv.Private, ring.Overhead+capacity, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = seg.Remove() })
	if err := seg.Attach(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = seg.Detach() })
	if err := ring.Format(seg); err != nil {
		tb.Fatal(err)
	}
	p := &place{seg: seg, path: filepath.Join(tb.TempDir(), "gate"), spin: spin}
	if p.f, err = fifo.Create(context.Background(), p.path, fifo.Options{}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.f.Close)
	return p
}

func (p *place) args() []string {
	return []string{strconv.Itoa(p.seg.ID()), p.path, p.spin.String()}
}

// reader returns the receiving side, when a writer is there.
func (p *place) reader(tb testing.TB) *ring.Reader {
	tb.Helper()
	gate, err := p.f.OpenReader(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	r, err := ring.NewReader(p.seg, gate)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _, _ = r.Close(), gate.Close() })
	r.SetSpin(p.spin)
	return r
}

// writer returns the sending side, when a reader is there.
func (p *place) writer(tb testing.TB) *ring.Writer {
	tb.Helper()
	gate, err := fifo.OpenWriter(context.Background(), p.path, fifo.NoWait)
	if err != nil {
		tb.Fatal(err)
	}
	w, err := ring.NewWriter(p.seg, gate)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _, _ = w.Close(), gate.Close() })
	w.SetSpin(p.spin)
	return w
}

// awaitFlag returns when the word at offset is not 0.
func (p *place) awaitFlag(tb testing.TB, offset int) {
	tb.Helper()
	if err := p.seg.Use(func(mem []byte) error {
		word := (*atomic.Uint32)(unsafe.Pointer(&mem[offset]))
		for word.Load() == 0 {
			runtime.Gosched()
		}
		return nil
	}); err != nil {
		tb.Fatal(err)
	}
}

const (
	readerWaits = 384 // as documented
	writerWaits = 512
)

type child struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

func start(tb testing.TB, role string, args ...string) *child {
	tb.Helper()
	cmd := fork.Command(role, args...)
	// The race detector would sleep for a second at the end of each process.
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	c := &child{cmd, bufio.NewReader(out)}
	tb.Cleanup(c.kill)
	return c
}

func (c *child) line(tb testing.TB) string {
	tb.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		tb.Fatalf("child said %q, %v", line, err)
	}
	return strings.TrimSpace(line)
}

// kill is kill -9, and returns when the process is gone.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may have ended
	_ = c.cmd.Wait()
}

func (c *child) wait(tb testing.TB) {
	tb.Helper()
	if err := c.cmd.Wait(); err != nil {
		tb.Errorf("child: %v", err)
	}
}

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
			child := start(t, c.role, p.args()...)
			r := p.reader(t)
			r.SetSpin(asleep)
			child.line(t)
			if c.flag != 0 {
				p.awaitFlag(t, c.flag)
			}
			child.kill()
			got, err := io.ReadAll(r)
			if string(got) != c.want {
				t.Errorf("read %q, want %q", got, c.want)
			}
			wantErr(t, err, io.ErrUnexpectedEOF)
		})
	}
}

// The reader is asleep when the writer is killed.
func TestKilledWriterEndsSleep(t *testing.T) {
	p := newPlace(t, 64, asleep)
	child := start(t, "reserved", p.args()...)
	r := p.reader(t)
	child.line(t)
	if err := read(r, "committed"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { _, err := r.Peek(); done <- err }()
	p.awaitFlag(t, readerWaits)
	child.kill()
	wantErr(t, <-done, io.ErrUnexpectedEOF)
}

func TestEndedStreamOutlivesWriter(t *testing.T) {
	for _, spin := range []time.Duration{asleep, looking} {
		p := newPlace(t, 64, spin)
		child := start(t, "ended writer", p.args()...)
		r := p.reader(t)
		child.wait(t)
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
			child := start(t, c.role, p.args()...)
			w := p.writer(t)
			w.SetSpin(asleep)
			if _, err := w.Write(make([]byte, c.sent)); err != nil {
				t.Fatal(err)
			}
			child.line(t)
			if c.role == "empty reader" && c.spin == asleep {
				p.awaitFlag(t, readerWaits)
			}
			p.f.Close()
			child.kill()
			// It shows also where there is room enough.
			for {
				if _, err := w.Reserve(); err != nil {
					wantErr(t, err, unix.EPIPE)
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
				wantErr(t, err, unix.EPIPE)
			}
		})
	}
}

// The writer is asleep, or looks at the ring, when the reader is killed.
func TestKilledReaderEndsWait(t *testing.T) {
	for _, spin := range []time.Duration{asleep, looking} {
		p := newPlace(t, 64, spin)
		child := start(t, "peeking reader", p.args()...)
		w := p.writer(t)
		if _, err := w.Write(make([]byte, 64)); err != nil {
			t.Fatal(err)
		}
		child.line(t)
		p.f.Close()
		done := make(chan error, 1)
		go func() { _, err := w.Write(make([]byte, 64)); done <- err }()
		if spin == asleep {
			p.awaitFlag(t, writerWaits)
		}
		child.kill()
		wantErr(t, <-done, unix.EPIPE)
		// It had freed one byte, into which one of the 64 may have gone.
		if n := w.Undelivered(); n != 63 && n != 64 {
			t.Errorf("spin %v: %d bytes undelivered", spin, n)
		}
	}
}

func wantErr(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("error %v, want %v", err, target)
	}
}

func TestStreamBetweenProcesses(t *testing.T) {
	for _, capacity := range []int{64, 1000, 1 << 16} {
		for _, spin := range []time.Duration{asleep, ring.SpinTime} {
			t.Run(fmt.Sprintf("%d bytes, spin %v", capacity, spin), func(t *testing.T) {
				p := newPlace(t, capacity, spin)
				child := start(t, "checksum", p.args()...)
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
				if err := errors.Join(w.End(), w.Flush()); err != nil {
					t.Fatal(err)
				}
				if got, want := child.line(t), fmt.Sprintf("%08x", sum.Sum32()); got != want {
					t.Errorf("checksum %s, want %s", got, want)
				}
				child.wait(t)
			})
		}
	}
}

// pingPong returns the two sides of an echo in another process.
func pingPong(tb testing.TB, capacity int, spin time.Duration) (w *ring.Writer, r *ring.Reader, c *child) {
	tb.Helper()
	there, back := newPlace(tb, capacity, spin), newPlace(tb, capacity, spin)
	c = start(tb, "echo", append(there.args(), back.args()...)...)
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
			if err := w.Send(msg); err != nil {
				t.Fatal(err)
			}
			n, err := r.Receive(buf)
			if err != nil || string(buf[:n]) != string(msg) {
				t.Fatalf("%q, %v", buf[:n], err)
			}
		}
		if err := w.End(); err != nil {
			t.Fatal(err)
		}
		_, err := r.Receive(buf)
		wantErr(t, err, io.EOF)
		child.wait(t)
	}
}
