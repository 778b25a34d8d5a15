package fifo_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
)

// batchOf returns a Batch with messages in it.
func batchOf(tb testing.TB, w *fifo.Writer, texts ...string) *fifo.Batch {
	tb.Helper()
	b := fifo.NewBatch(w)
	tb.Cleanup(b.Close)
	add(tb, b, texts...)
	return b
}

func add(tb testing.TB, b *fifo.Batch, texts ...string) {
	tb.Helper()
	for _, text := range texts {
		if err := b.Add([]byte(text)); err != nil {
			tb.Fatalf("Add of %d bytes: %v", len(text), err)
		}
	}
}

func flush(tb testing.TB, b *fifo.Batch) {
	tb.Helper()
	if err := b.Flush(); err != nil {
		tb.Fatal(err)
	}
	if n := b.Len(); n != 0 {
		tb.Fatalf("%d messages are in the batch still", n)
	}
}

func TestBatchIsSentWithFlush(t *testing.T) {
	t.Parallel()
	_, r, w := pair(t)
	texts := []string{"one", "two", strings.Repeat("x", fifo.Atomic), "\n", "three"}
	b := batchOf(t, w, texts...)
	if n := b.Len(); n != len(texts) {
		t.Errorf("%d messages are in the batch, want %d", n, len(texts))
	}
	if n, err := r.Pending(); n != 0 || err != nil {
		t.Errorf("%d bytes are in the FIFO before the batch was sent (%v)", n, err)
	}
	flush(t, b)
	expectMessages(t, r, texts...)
	flush(t, b) // of none
	add(t, b, "again")
	flush(t, b)
	expectMessages(t, r, "again")
}

func TestBatchRefusesWhatIsNoMessage(t *testing.T) {
	t.Parallel()
	_, r, w := pair(t)
	b := batchOf(t, w, "before")
	for size, target := range map[int]error{0: unix.EINVAL, fifo.Atomic + 1: unix.EMSGSIZE} {
		want(t, b.Add(make([]byte, size)), target)
	}
	add(t, b, "behind")
	flush(t, b)
	expectMessages(t, r, "before", "behind")
}

// More messages than a batch holds, and than the FIFO does, of all sizes, while a
// Writer sends its own.
func TestBatchesArriveWholeAndInOrder(t *testing.T) {
	t.Parallel()
	_, r, w := pair(t)
	const count = 3000
	text := func(kind string, i int) string {
		return fmt.Sprintf("%s %d %s", kind, i, strings.Repeat("x", i*997%4000))
	}
	sent := make(chan error, 2)
	go func() {
		b := fifo.NewBatch(w)
		defer b.Close()
		for i := range count {
			err := b.Add([]byte(text("batch", i)))
			if i%100 == 0 && err == nil {
				err = b.Flush()
			}
			if err != nil {
				sent <- err
				return
			}
		}
		sent <- b.Flush()
	}()
	go func() {
		for i := range count {
			if _, err := w.Write([]byte(text("single", i))); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	next, buf := map[string]int{}, make([]byte, fifo.Atomic)
	for range 2 * count {
		n, err := r.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := strings.Cut(string(buf[:n]), " ")
		if want := text(kind, next[kind]); string(buf[:n]) != want {
			t.Fatalf("read %.30q, want %.30q", buf[:n], want)
		}
		next[kind]++
	}
	if err := errors.Join(within(t, sent), within(t, sent)); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Unread(); n != 0 || err != nil {
		t.Errorf("Unread: %d, %v; want none", n, err)
	}
}

func TestContextCloseAndThePeersLeavingEndTheWaitOfABatch(t *testing.T) {
	t.Parallel()
	reason := errors.New("enough")
	for end, target := range map[string]error{
		"the context": reason,
		"Close":       os.ErrClosed,
		"the peer":    unix.EPIPE,
	} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			path := tempPath(t)
			server := run(t, "serve", path)
			server.expect("serving, replaced: false")
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			w, err := fifo.OpenWriter(ctx, path, fifo.NoWait)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			const slots, more = 16, 5 // more than the FIFO has room for
			var texts []string
			for i := range slots + more {
				texts = append(texts, fmt.Sprint("message ", i))
			}
			b := batchOf(t, w, texts...)
			waiting := blocked(t, b.Flush, inPoll...)
			switch end {
			case "the context":
				cancel(reason)
			case "Close":
				w.Close()
			case "the peer":
				server.kill()
			}
			want(t, within(t, waiting), target)
			if n := b.Len(); n != more {
				t.Errorf("%d messages are in the batch, want %d", n, more)
			}
			if end == "Close" {
				return
			}
			if n, err := w.Unread(); n != slots || err != nil {
				t.Errorf("Unread: %d, %v; want %d", n, err, slots)
			}
		})
	}
}

func TestAddSendsABatchThatIsFull(t *testing.T) {
	t.Parallel()
	f, r, w := pair(t)
	if _, err := f.SetCapacity(1 << 20); err != nil {
		t.Fatal(err)
	}
	b := batchOf(t, w, "0")
	var texts []string
	for n := 0; b.Len() > n; n++ {
		texts = append(texts, fmt.Sprint(n))
		add(t, b, fmt.Sprint(n+1))
	}
	if n := b.Len(); n != 1 || len(texts) < 16 {
		t.Errorf("%d messages are in the batch and %d were sent, want 1 and 16 or more", n, len(texts))
	}
	expectMessages(t, r, texts...)
	if n, err := r.Pending(); n != 0 || err != nil {
		t.Errorf("%d bytes more are in the FIFO (%v)", n, err)
	}
}

func TestBatchDoesNotAllocate(t *testing.T) {
	f, _, w := pair(t)
	b := batchOf(t, w)
	text, buf := []byte("hello"), make([]byte, fifo.Atomic)
	const messages = 10
	send := func() {
		for range messages {
			if err := b.Add(text); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Flush(); err != nil {
			t.Fatal(err)
		}
		for range messages {
			if _, err := f.TryRead(buf); err != nil {
				t.Fatal(err)
			}
		}
	}
	send() // which makes its pipe
	expectNoAllocations(t, send)
}
