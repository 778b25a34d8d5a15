package mailbox_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/internal/ipctest"
	"example.com/ipcsuite/pkg/mailbox"
	"example.com/ipcsuite/pkg/sysv"
)

// place is where the two sides meet: a segment and, once a reader is there, a
// FIFO.
type place struct {
	slot *sysv.Segment // attached for reading and writing
	path string        // of the FIFO
}

func newPlace(tb testing.TB, size int) *place {
	tb.Helper()
	p := &place{ipctest.Segment(tb, size), filepath.Join(tb.TempDir(), "gate")}
	ipctest.Must(tb, p.slot.Attach())
	return p
}

// again attaches the segment once more, elsewhere.
func (p *place) again(tb testing.TB) *sysv.Segment {
	tb.Helper()
	slot, err := ipctest.OpenSegment(strconv.Itoa(p.slot.ID()))
	ipctest.Must(tb, err)
	tb.Cleanup(func() { _ = slot.Detach() })
	return slot
}

// reader makes the FIFO and returns the receiving side. It sees no end of file,
// since a write end stays open.
func (p *place) reader(tb testing.TB, ctx context.Context) *mailbox.Reader {
	tb.Helper()
	f := p.server(tb)
	ipctest.Must(tb, f.KeepOpen())
	r, _ := p.readerOf(tb, ctx, f)
	return r
}

// server makes the FIFO.
func (p *place) server(tb testing.TB) *fifo.FIFO {
	tb.Helper()
	return ipctest.FIFO(tb, p.path)
}

// readerOf returns the receiving side at a FIFO that a writer has opened, and
// its end of the FIFO.
func (p *place) readerOf(tb testing.TB, ctx context.Context, f *fifo.FIFO) (*mailbox.Reader, *fifo.Reader) {
	tb.Helper()
	gate, err := f.OpenReader(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = gate.Close() })
	r, err := mailbox.NewReader(p.slot, gate)
	if err != nil {
		tb.Fatal(err)
	}
	return r, gate
}

// writer returns a sending side and its end of the FIFO, once there is a reader.
func (p *place) writer(tb testing.TB, ctx context.Context) (*mailbox.Writer, *fifo.Writer) {
	tb.Helper()
	w, gate, err := openWriter(ctx, p.slot, p.path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = gate.Close() })
	return w, gate
}

func openWriter(ctx context.Context, slot *sysv.Segment, path string) (*mailbox.Writer, *fifo.Writer, error) {
	gate, err := fifo.OpenWriter(ctx, path, fifo.WaitPath)
	if err != nil {
		return nil, nil, err
	}
	w, err := mailbox.NewWriter(slot, gate)
	return w, gate, err
}

// store writes to the slot as a process does that knows no protocol.
func (p *place) store(tb testing.TB, text string) {
	tb.Helper()
	if _, err := p.slot.WriteAt([]byte(text), 0); err != nil {
		tb.Fatal(err)
	}
}

// stringAt is what a C program finds at the start of the slot.
func (p *place) stringAt(tb testing.TB) string {
	tb.Helper()
	all := make([]byte, p.slot.Size())
	if _, err := p.slot.ReadAt(all, 0); err != nil {
		tb.Fatal(err)
	}
	text, _, found := strings.Cut(string(all), "\x00")
	if !found {
		tb.Fatal("no NUL byte in the slot")
	}
	return text
}

const token = "\x00\x00\x00\x00"

func send(tb testing.TB, w *mailbox.Writer, texts ...string) {
	tb.Helper()
	for _, text := range texts {
		ipctest.Must(tb, w.Send([]byte(text)))
	}
}

func receive(tb testing.TB, r *mailbox.Reader, want string) {
	tb.Helper()
	text, err := r.Receive()
	if err != nil {
		tb.Fatal(err)
	}
	if string(text) != want {
		tb.Fatalf("received %.40q, want %.40q", text, want)
	}
}

func receiveError(tb testing.TB, r *mailbox.Reader, want error) {
	tb.Helper()
	if text, err := r.Receive(); !errors.Is(err, want) {
		tb.Fatalf("received %.40q, %v, want %v", text, err, want)
	}
}

func wantUndelivered(tb testing.TB, w *mailbox.Writer, want int) {
	tb.Helper()
	if n := w.Undelivered(); n != want {
		tb.Fatalf("%d undelivered, want %d", n, want)
	}
}

func TestEveryTextArrivesWholeAndInOrder(t *testing.T) {
	p := newPlace(t, 4096)
	r := p.reader(t, t.Context())
	w, _ := p.writer(t, t.Context())
	var texts []string
	for n := range w.Max() + 1 { // every length, the empty text included
		texts = append(texts, strings.Repeat(string(rune('a'+n%26)), n))
	}
	texts = append(texts, "\xff\xfe not UTF-8 \xc3", "carriage return\r", "\t\x01\x7f")
	go func() {
		for _, text := range texts {
			if err := w.Send([]byte(text)); err != nil {
				t.Error(err)
			}
		}
	}()
	for _, text := range texts {
		receive(t, r, text)
	}
	if r.Lost() != 0 {
		t.Errorf("%d lost", r.Lost())
	}
}

func TestASlotOfOneByteTakesOnlyTheEmptyText(t *testing.T) {
	p := newPlace(t, 1)
	r := p.reader(t, t.Context())
	w, _ := p.writer(t, t.Context())
	ipctest.Want(t, w.Send([]byte("a")), mailbox.ErrRefused)
	send(t, w, "")
	receive(t, r, "")
}

func TestTextThatCannotBeSentIsRefusedWhole(t *testing.T) {
	p := newPlace(t, 8)
	r := p.reader(t, t.Context())
	w, _ := p.writer(t, t.Context())
	for _, text := range []string{"12345678", "a\x00b", "\x00", "a\nb", "a\n"} {
		ipctest.Want(t, w.Send([]byte(text)), mailbox.ErrRefused)
		if left := p.stringAt(t); left != "" {
			t.Errorf("%q left %q in the slot", text, left)
		}
		_, err := r.TryReceive()
		ipctest.Want(t, err, unix.EAGAIN)
	}
	send(t, w, "1234567")
	receive(t, r, "1234567")
}

func TestSecondTextWaitsForTheFirstToBeTaken(t *testing.T) {
	p := newPlace(t, 64)
	r := p.reader(t, t.Context())
	w, gate := p.writer(t, t.Context())
	send(t, w, "first")
	if ready, err := gate.Ready(); ready || err != nil {
		t.Fatalf("slot free with a text in it: %v, %v", ready, err)
	}
	sent := ipctest.Go(func() error { return w.Send([]byte("second")) })
	receive(t, r, "first")
	ipctest.Must(t, ipctest.Within(t, sent))
	receive(t, r, "second")
}

func TestFlushWaitsUntilTheLastTextIsTaken(t *testing.T) {
	p := newPlace(t, 64)
	r := p.reader(t, t.Context())
	w, _ := p.writer(t, t.Context())
	ipctest.Must(t, w.Flush()) // nothing to wait for
	send(t, w, "last")
	wantUndelivered(t, w, 1)
	flushed := ipctest.Go(w.Flush)
	receive(t, r, "last")
	ipctest.Must(t, ipctest.Within(t, flushed))
	wantUndelivered(t, w, 0)
}

func TestFlushDoesNotWaitForTheTextOfAnother(t *testing.T) {
	p := newPlace(t, 64)
	r := p.reader(t, t.Context())
	ctx, cancel := context.WithCancelCause(t.Context())
	a, _ := p.writer(t, ctx)
	b, _ := p.writer(t, t.Context())
	send(t, a, "from a")
	receive(t, r, "from a")
	send(t, b, "from b") // which stays
	cancel(errors.New("Flush has waited"))
	ipctest.Must(t, a.Flush())
	wantUndelivered(t, b, 1)
}

func TestReaderSeesTheEndWhenTheLastWriterLeaves(t *testing.T) {
	p := newPlace(t, 64)
	f := p.server(t)
	w1, gate1 := p.writer(t, t.Context())
	w2, gate2 := p.writer(t, t.Context())
	r, _ := p.readerOf(t, t.Context(), f)
	send(t, w1, "one")
	_ = gate1.Close()
	receive(t, r, "one")
	send(t, w2, "two")
	_ = gate2.Close()
	receive(t, r, "two")
	receiveError(t, r, io.EOF)

	w3, _ := p.writer(t, t.Context()) // and goes on when one comes
	send(t, w3, "three")
	receive(t, r, "three")
}

// The article's client: it stores the line that it has read, newline and all,
// writes a token of four zero bytes, and then puts a NUL over the newline.
func TestArticlesClientRingsBeforeItTerminates(t *testing.T) {
	p := newPlace(t, 4096)
	r := p.reader(t, t.Context())
	fd := ipctest.Open(t, p.path, unix.O_WRONLY)

	p.store(t, "hello world\n")
	ipctest.Write(t, fd, token)
	p.store(t, "hello world\x00")
	receive(t, r, "hello world")

	p.store(t, "quit\n") // with " world" behind it, and no NUL yet
	ipctest.Write(t, fd, token)
	receive(t, r, "quit")
	p.store(t, "quit\x00")
}

func TestOverwrittenTextsAreCounted(t *testing.T) {
	p := newPlace(t, 4096)
	r := p.reader(t, t.Context())
	fd := ipctest.Open(t, p.path, unix.O_WRONLY)
	for i, text := range []string{"one", "two", "three"} {
		p.store(t, text+"\x00")
		ipctest.Write(t, fd, token)
		if i == 0 {
			receive(t, r, "one")
		}
	}
	receive(t, r, "three")
	if r.Lost() != 1 {
		t.Errorf("%d lost, want 1", r.Lost())
	}
	_, err := r.TryReceive()
	ipctest.Want(t, err, unix.EAGAIN)
}

// The article's server: it reads four bytes, and then the string in the slot.
func TestArticlesServerReadsWhatIsSent(t *testing.T) {
	p := newPlace(t, 4096)
	f := p.server(t)
	w, gate := p.writer(t, t.Context())
	fd, err := unix.Open(p.path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	ipctest.Must(t, err)
	f.Close()
	for _, text := range []string{"hello", "a longer text", "", "quit"} {
		send(t, w, text)
		if ready, err := gate.Ready(); ready || err != nil {
			t.Fatalf("slot free with a text in it: %v, %v", ready, err)
		}
		buf := make([]byte, 64)
		if n, err := unix.Read(fd, buf[:4]); n != 4 || err != nil || string(buf[:4]) != token {
			t.Fatalf("token: %q, %v", buf[:n], err)
		}
		if got := p.stringAt(t); got != text {
			t.Fatalf("slot holds %q, want %q", got, text)
		}
		ipctest.Must(t, w.Flush())
	}
	_ = unix.Close(fd)
	ipctest.Want(t, w.Send([]byte("too late")), unix.EPIPE)
	wantUndelivered(t, w, 0)
}

func TestMalformedIsReportedAndPassedOver(t *testing.T) {
	p := newPlace(t, 1000)
	r := p.reader(t, t.Context())
	fd := ipctest.Open(t, p.path, unix.O_WRONLY)
	w, _ := p.writer(t, t.Context())

	p.store(t, strings.Repeat("x", 1000))
	ipctest.Write(t, fd, token)
	receiveError(t, r, mailbox.ErrMalformed)
	send(t, w, "next")
	receive(t, r, "next")

	for _, junk := range []string{"x", "hi\n", token + "x", strings.Repeat("x", 4095)} {
		ipctest.Write(t, fd, junk)
		receiveError(t, r, mailbox.ErrMalformed)
		send(t, w, "next")
		receive(t, r, "next")
	}
	if r.Lost() != 0 {
		t.Errorf("%d lost", r.Lost())
	}

	ipctest.Write(t, fd, strings.Repeat(token, 1024)) // a page of them is one bell
	receive(t, r, "next")
	if r.Lost() != 1023 {
		t.Errorf("%d lost, want 1023", r.Lost())
	}
}

func TestSlotThatChangesWhileItIsRead(t *testing.T) {
	p := newPlace(t, 1<<16)
	r := p.reader(t, t.Context())
	fd := ipctest.Open(t, p.path, unix.O_WRONLY)
	hostile := p.again(t)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			end := []byte("x\x00\nx")[i%4]
			_, _ = hostile.WriteAt([]byte{'x', end, 'x'}, int64(i*509%(1<<16-3)))
		}
	}()
	for range 2000 {
		ipctest.Write(t, fd, token)
		text, err := r.Receive()
		if err != nil && !errors.Is(err, mailbox.ErrMalformed) || strings.ContainsAny(string(text), "\x00\n") {
			t.Fatalf("received %d bytes, %v", len(text), err)
		}
	}
	close(stop)
	<-stopped
}

func TestDetachedSlotLosesNothing(t *testing.T) {
	p := newPlace(t, 64)
	r := p.reader(t, t.Context())
	w, _ := p.writer(t, t.Context())
	send(t, w, "text")
	ipctest.Must(t, p.slot.Detach())
	receiveError(t, r, sysv.ErrDetached)
	ipctest.Must(t, p.slot.Attach())
	receive(t, r, "text")

	ipctest.Must(t, errors.Join(p.slot.Detach(), p.slot.AttachReadOnly()))
	ipctest.Want(t, w.Send([]byte("text")), sysv.ErrReadOnly)
	_, err := r.TryReceive()
	ipctest.Want(t, err, unix.EAGAIN)
}

func TestTwoWritersEveryTextOnce(t *testing.T) {
	const n = 3000
	p := newPlace(t, 1024)
	f := p.server(t)
	a, b := p.child(t, "counter", "a", strconv.Itoa(n)), p.child(t, "counter", "b", strconv.Itoa(n))
	r, _ := p.readerOf(t, t.Context(), f)
	next := map[string]int{}
	for range 2 * n {
		text, err := r.Receive()
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(string(text), " ")
		if want := countedText(name, next[name]); string(text) != string(want) {
			t.Fatalf("received %.20q, want %.20q", text, want)
		}
		next[name]++
	}
	a.Expect("ready")
	b.Expect("ready")
	_, err := r.TryReceive()
	ipctest.Want(t, err, unix.EAGAIN)
	if next["a"] != n || next["b"] != n || r.Lost() != 0 {
		t.Errorf("received %v, %d lost", next, r.Lost())
	}
}

func TestWriterKilledWithATextInTheSlot(t *testing.T) {
	p := newPlace(t, 64)
	f := p.server(t)
	c := p.child(t, "writer", "one", "testament")
	r, _ := p.readerOf(t, t.Context(), f)
	receive(t, r, "one")
	c.Expect("ready")
	c.Kill()
	receive(t, r, "testament")
	receiveError(t, r, io.EOF)
}

func TestWriterKilledBeforeItsTokenAndWithTheLock(t *testing.T) {
	p := newPlace(t, 64)
	f := p.server(t)
	w, gate := p.writer(t, t.Context())
	c := p.child(t, "half writer", "half a te")
	r, _ := p.readerOf(t, t.Context(), f)
	c.Expect("ready")
	sent := ipctest.Go(func() error { return w.Send([]byte("ok")) })
	if _, err := r.TryReceive(); !errors.Is(err, unix.EAGAIN) {
		t.Fatalf("another has the lock: %v", err)
	}
	c.Kill()
	ipctest.Must(t, ipctest.Within(t, sent))
	receive(t, r, "ok")
	_ = gate.Close()
	receiveError(t, r, io.EOF)
}

func TestReaderKilled(t *testing.T) {
	t.Run("before it has taken the text", func(t *testing.T) {
		p := newPlace(t, 64)
		c := p.child(t, "reader", "0")
		c.Expect("ready")
		w, _ := p.writer(t, t.Context())
		send(t, w, "text")
		c.Kill()
		wantUndelivered(t, w, 1)
		ipctest.Want(t, w.Flush(), unix.EPIPE)
		ipctest.Want(t, w.Send([]byte("next")), unix.EPIPE)
		wantUndelivered(t, w, 1)
	})
	t.Run("between copy and token", func(t *testing.T) {
		p := newPlace(t, 64)
		c := p.child(t, "half reader")
		w, _ := p.writer(t, t.Context())
		send(t, w, "text")
		c.Expect("ready")
		c.Kill()
		ipctest.Want(t, w.Flush(), unix.EPIPE)
		wantUndelivered(t, w, 1)
	})
	t.Run("after it has taken the text", func(t *testing.T) {
		p := newPlace(t, 64)
		c := p.child(t, "reader", "1")
		w, _ := p.writer(t, t.Context())
		send(t, w, "text")
		c.Expect("ready")
		c.Kill()
		ipctest.Must(t, w.Flush())
		ipctest.Want(t, w.Send([]byte("next")), unix.EPIPE)
		wantUndelivered(t, w, 0)
	})
	t.Run("while a writer waits", func(t *testing.T) {
		p := newPlace(t, 64)
		c := p.child(t, "reader", "0")
		c.Expect("ready")
		w, _ := p.writer(t, t.Context())
		send(t, w, "text")
		sent := ipctest.Go(func() error { return w.Send([]byte("next")) })
		c.Kill()
		ipctest.Want(t, ipctest.Within(t, sent), unix.EPIPE)
		wantUndelivered(t, w, 1)
	})
}

func TestUndeliveredIsTheWritersOwn(t *testing.T) {
	p := newPlace(t, 64)
	c := p.child(t, "reader", "1")
	a, _ := p.writer(t, t.Context())
	b, _ := p.writer(t, t.Context())
	send(t, a, "from a")
	send(t, b, "from b, and longer") // so the first was taken
	c.Expect("ready")
	c.Kill()
	wantUndelivered(t, a, 0)
	wantUndelivered(t, b, 1)
	ipctest.Must(t, a.Flush())
	ipctest.Want(t, b.Flush(), unix.EPIPE)
}

func TestEveryWaitCanBeEnded(t *testing.T) {
	// Each prepares a wait on a FIFO end that is bound to ctx.
	waits := map[string]func(t *testing.T, p *place, ctx context.Context) (wait func() error, gate io.Closer){
		"receive": func(t *testing.T, p *place, ctx context.Context) (func() error, io.Closer) {
			f := p.server(t)
			p.writer(t, t.Context())
			r, gate := p.readerOf(t, ctx, f)
			return func() error { _, err := r.Receive(); return err }, gate
		},
		"send while the slot is full": func(t *testing.T, p *place, ctx context.Context) (func() error, io.Closer) {
			p.server(t)
			w, gate := p.writer(t, ctx)
			send(t, w, "first")
			return func() error { return w.Send([]byte("second")) }, gate
		},
		"send while another has the lock": func(t *testing.T, p *place, ctx context.Context) (func() error, io.Closer) {
			p.server(t)
			_, other := p.writer(t, t.Context())
			ipctest.Must(t, other.Lock())
			w, gate := p.writer(t, ctx)
			return func() error { return w.Send([]byte("text")) }, gate
		},
		"flush": func(t *testing.T, p *place, ctx context.Context) (func() error, io.Closer) {
			p.server(t)
			w, gate := p.writer(t, ctx)
			send(t, w, "text")
			return w.Flush, gate
		},
	}
	reason := errors.New("enough")
	for name, prepare := range waits {
		for end, target := range map[string]error{"the context": reason, "Close": os.ErrClosed} {
			for _, when := range []string{"before it begins", "asleep"} {
				t.Run(name+", "+end+", "+when, func(t *testing.T) {
					ctx, cancel := context.WithCancelCause(t.Context())
					defer cancel(nil)
					wait, gate := prepare(t, newPlace(t, 64), ctx)
					stop := func() { cancel(reason) }
					if end == "Close" {
						stop = func() { _ = gate.Close() }
					}
					if when != "asleep" {
						stop()
						ipctest.Want(t, ipctest.Within(t, ipctest.Go(wait)), target)
						return
					}
					ended := ipctest.Blocked(t, wait, ipctest.InPoll...)
					stop()
					ipctest.Want(t, ipctest.Within(t, ended), target)
				})
			}
		}
	}
}

// A lock that comes after its wait has been given up is given back.
func TestLockGivenUpIsNotKept(t *testing.T) {
	p := newPlace(t, 64)
	r := p.reader(t, t.Context())
	_, holder := p.writer(t, t.Context())
	ipctest.Must(t, holder.Lock())
	ctx, cancel := context.WithCancel(t.Context())
	loser, _ := p.writer(t, ctx)
	ended := ipctest.Go(func() error { return loser.Send([]byte("too late")) })
	cancel()
	ipctest.Want(t, ipctest.Within(t, ended), context.Canceled)
	holder.Unlock()

	w, _ := p.writer(t, t.Context())
	send(t, w, "text")
	receive(t, r, "text")
}

func TestTryReceiveWorksWhenTheContextIsDone(t *testing.T) {
	p := newPlace(t, 64)
	f := p.server(t)
	ctx, cancel := context.WithCancel(t.Context())
	w, _ := p.writer(t, t.Context())
	r, _ := p.readerOf(t, ctx, f)
	cancel()
	receiveError(t, r, context.Canceled)
	send(t, w, "last words")
	text, err := r.TryReceive()
	if string(text) != "last words" || err != nil {
		t.Fatalf("received %q, %v", text, err)
	}
}

// What has been looked at is not taken, to the writer, before Free.
func TestPeekLeavesTheTextUntilFree(t *testing.T) {
	p := newPlace(t, 64)
	r := p.reader(t, t.Context())
	w, _ := p.writer(t, t.Context())
	if _, err := r.TryPeek(); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("peeked into an empty mailbox: %v", err)
	}
	send(t, w, "text")
	for _, peek := range []func() ([]byte, error){r.Peek, r.TryPeek, r.Peek} {
		if text, err := peek(); string(text) != "text" || err != nil {
			t.Fatalf("peeked %q, %v", text, err)
		}
		wantUndelivered(t, w, 1)
	}
	ipctest.Must(t, r.Free())
	wantUndelivered(t, w, 0)
	send(t, w, "next")
	if err := r.Free(); !errors.Is(err, unix.EINVAL) {
		t.Fatalf("freed what nobody has seen: %v", err)
	}
	receive(t, r, "next")
}

func TestPeekPassesOverWhatIsMalformed(t *testing.T) {
	p := newPlace(t, 4)
	r := p.reader(t, t.Context())
	w, _ := p.writer(t, t.Context())
	fd := ipctest.Open(t, p.path, unix.O_WRONLY)
	p.store(t, "full") // no NUL byte
	for _, written := range []string{token, "xyz"} {
		ipctest.Write(t, fd, written)
		if text, err := r.Peek(); !errors.Is(err, mailbox.ErrMalformed) {
			t.Fatalf("peeked %q, %v", text, err)
		}
	}
	send(t, w, "abc")
	receive(t, r, "abc")
}

func TestNoAllocations(t *testing.T) {
	p := newPlace(t, 4096)
	r := p.reader(t, t.Context())
	w, _ := p.writer(t, t.Context())
	text := []byte(strings.Repeat("x", 2000))
	ipctest.NoAllocations(t, func() {
		ipctest.Must(t, w.Send(text))
		if _, err := r.Receive(); err != nil {
			t.Fatal(err)
		}
		ipctest.Must(t, w.Flush())
	})
}

// FuzzReceive lets another process leave anything in the slot and the FIFO.
func FuzzReceive(f *testing.F) {
	f.Add([]byte("text\x00tail"), []byte(token))
	f.Add([]byte("line\nmore\x00"), []byte(token+token))
	f.Add([]byte(strings.Repeat("x", 600)), []byte(token))
	f.Add([]byte("\x00"), []byte("x"))
	p := newPlace(f, 600)
	r := p.reader(f, context.Background())
	fd := ipctest.Open(f, p.path, unix.O_WRONLY)
	f.Fuzz(func(t *testing.T, slot, tokens []byte) {
		slot = slot[:min(len(slot), 600)]
		tokens = tokens[:min(len(tokens), fifo.Atomic)]
		if len(tokens) == 0 {
			return
		}
		p.store(t, string(slot)+strings.Repeat("x", 600-len(slot)))
		ipctest.Write(t, fd, string(tokens))
		before := r.Lost()

		text, err := r.Receive()
		end := strings.IndexAny(string(slot), "\x00\n")
		switch {
		case len(tokens)%4 != 0 || end < 0:
			ipctest.Want(t, err, mailbox.ErrMalformed)
		case err != nil || string(text) != string(slot[:end]):
			t.Fatalf("received %q, %v, want %q", text, err, slot[:end])
		}
		if lost := r.Lost() - before; len(tokens)%4 == 0 && lost != uint64(len(tokens)/4-1) {
			t.Fatalf("%d lost with %d bytes", lost, len(tokens))
		}
		if _, err := r.TryReceive(); !errors.Is(err, unix.EAGAIN) {
			t.Fatalf("not empty afterwards: %v", err)
		}
	})
}

// BenchmarkLockstep sends 64 bytes at a time to another process.
func BenchmarkLockstep(b *testing.B) {
	p := newPlace(b, 4096)
	p.child(b, "drain")
	w, _ := p.writer(b, b.Context())
	text := []byte(strings.Repeat("x", 64))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		ipctest.Must(b, w.Send(text))
	}
	ipctest.Must(b, w.Flush())
}
