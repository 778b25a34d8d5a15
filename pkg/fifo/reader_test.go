package fifo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
)

func TestOpenReaderReturnsWhenAWriterHasCome(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		// comes does what is waited for.
		comes func(t *testing.T, path string)
		reads string
	}{
		"and waits": {
			comes: func(t *testing.T, path string) { openWriter(t, path) },
		},
		"and writes": {
			comes: func(t *testing.T, path string) { send(t, openWriter(t, path), "hello") },
			reads: "hello",
		},
		"and wrote and left": {
			comes: func(t *testing.T, path string) {
				w := openWriter(t, path)
				send(t, w, "hello")
				w.Close()
			},
			reads: "hello",
		},
		"and left": {
			comes: func(t *testing.T, path string) { openWriter(t, path).Close() },
		},
		"for both ways": {
			comes: func(t *testing.T, path string) { rawOpen(t, path, unix.O_RDWR|unix.O_NONBLOCK) },
		},
		"after other readers": {
			comes: func(t *testing.T, path string) {
				rawOpen(t, path, unix.O_RDONLY|unix.O_NONBLOCK)
				rawOpen(t, path, unix.O_PATH)
				openWriter(t, path)
			},
		},
	}
	for name, tt := range tests {
		// Both a Reader of the one who made the FIFO, and of another.
		for how, open := range map[string]func(*fifo.FIFO) (*fifo.Reader, error){
			"FIFO.OpenReader": func(f *fifo.FIFO) (*fifo.Reader, error) { return f.OpenReader(context.Background()) },
			"OpenReader":      func(f *fifo.FIFO) (*fifo.Reader, error) { return fifo.OpenReader(context.Background(), f.Path()) },
		} {
			t.Run(how+", "+name, func(t *testing.T) {
				t.Parallel()
				path := tempPath(t)
				f := create(t, path)
				var r *fifo.Reader
				waiting := blocked(t, func() (err error) {
					r, err = open(f)
					return err
				}, inPoll...)
				tt.comes(t, path)
				if err := within(t, waiting); err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				if tt.reads != "" {
					expectMessages(t, r, tt.reads)
				}
			})
		}
	}
}

func TestOpenReaderMeetsAWriterThatBlocksInOpen(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	stale(t, path)
	c := run(t, "raw writer", path)
	c.expect("opening")
	eventually(t, "the writer blocks in open(2)", func() bool { return threadsIn(c.pid(), unix.SYS_OPENAT) == 1 })
	r, err := fifo.OpenReader(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c.expect("open")
}

func TestOpenReaderDoesNotWaitForASecondWriter(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	f := create(t, path)
	openWriter(t, path).Close()
	r, err := f.OpenReader(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	expectEOF(t, r)
}

func TestOpenReaderDoesNotReturnForOthers(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	create(t, path)
	ctx, cancel := context.WithCancelCause(context.Background())
	waiting := blocked(t, func() error {
		_, err := fifo.OpenReader(ctx, path)
		return err
	}, inPoll...)
	for range 10 {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
		want(t, fifo.Live(path), unix.EADDRINUSE)
	}
	reason := errors.New("enough")
	cancel(reason)
	want(t, within(t, waiting), reason)
}

func TestOpenReaderRefusesWhatIsNoFIFO(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := errors.Join(
		os.WriteFile(dir+"/file", nil, 0o600),
		unix.Mkfifo(dir+"/fifo", 0o600),
		os.Symlink("fifo", dir+"/link"),
	); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]error{
		dir + "/file":     fifo.ErrNotFIFO,
		dir + "/link":     fifo.ErrNotFIFO,
		dir:               fifo.ErrNotFIFO,
		"/dev/null":       fifo.ErrNotFIFO,
		dir + "/nonesuch": unix.ENOENT,
	} {
		_, err := fifo.OpenReader(context.Background(), name)
		want(t, err, target)
		for _, wait := range []fifo.Wait{fifo.NoWait, fifo.WaitReader, fifo.WaitPath} {
			if wait == fifo.WaitPath && name == dir+"/nonesuch" {
				continue // which it waits for
			}
			_, err = fifo.OpenWriter(context.Background(), name, wait)
			want(t, err, target)
		}
	}
}

// Whatever a Reader waits for, its context and its Close end the wait.
func TestContextAndCloseEndEveryWaitOfAReader(t *testing.T) {
	t.Parallel()
	reason := errors.New("enough")
	for name, wait := range map[string]func(*fifo.Reader) error{
		"Read": func(r *fifo.Reader) error {
			_, err := r.Read(make([]byte, fifo.Atomic))
			return err
		},
		"Await": (*fifo.Reader).Await,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for end, target := range map[string]error{"the context": reason, "Close": os.ErrClosed} {
				path := tempPath(t)
				f := create(t, path)
				openWriter(t, path)
				ctx, cancel := context.WithCancelCause(context.Background())
				r, err := f.OpenReader(ctx)
				if err != nil {
					t.Fatal(err)
				}
				waiting := blocked(t, func() error { return wait(r) }, inPoll...)
				if end == "Close" {
					r.Close()
				} else {
					cancel(reason)
				}
				want(t, within(t, waiting), target)
				want(t, wait(r), target) // and those that come after
				r.Close()
				want(t, wait(r), os.ErrClosed)
				cancel(nil)
			}
		})
	}
}

func TestWhatIsLeftCanBeReadWhenTheContextIsDone(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	f := create(t, path)
	w := openWriter(t, path)
	ctx, cancel := context.WithCancel(context.Background())
	r, err := f.OpenReader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	send(t, w, "one", "two")
	cancel()
	expectMessages(t, r, "one", "two")
	_, err = r.Read(make([]byte, fifo.Atomic))
	want(t, err, context.Canceled)
}

func TestCloseWaitsForNobodyAndCanBeRepeated(t *testing.T) {
	t.Parallel()
	_, r, w := pair(t)
	for range 2 {
		if err := errors.Join(r.Close(), w.Close()); err != nil {
			t.Error(err)
		}
	}
	_, err := r.Pending()
	want(t, err, os.ErrClosed)
	_, err = w.Unread()
	want(t, err, os.ErrClosed)
	want(t, w.Await(), os.ErrClosed)
	if !w.PeerGone() {
		t.Error("PeerGone is false after Close")
	}
}

func TestCloseFromManyGoroutines(t *testing.T) {
	t.Parallel()
	for range 50 {
		_, r, w := pair(t)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { r.Close() })
			all.Go(func() { w.Close() })
			all.Go(func() {
				if _, err := r.Read(make([]byte, fifo.Atomic)); !errors.Is(err, os.ErrClosed) && !errors.Is(err, io.EOF) {
					t.Errorf("Read: %v", err)
				}
			})
		}
		all.Wait()
	}
}

func TestReadNeedsRoomForAMessage(t *testing.T) {
	t.Parallel()
	f, r, w := pair(t)
	send(t, w, "whole")
	for _, size := range []int{0, 1, fifo.Atomic - 1} {
		_, err := r.Read(make([]byte, size))
		want(t, err, unix.EINVAL)
		_, err = f.TryRead(make([]byte, size))
		want(t, err, unix.EINVAL)
	}
	expectMessages(t, r, "whole")
}

// Claim 7: the end comes when every writer has closed, after what is left.
func TestEndOfFileComesWhenEveryWriterHasClosed(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	f := create(t, path)
	first, second := openWriter(t, path), openWriter(t, path)
	third := run(t, "write", path, "3")
	third.expect("opening", "open")
	r, err := f.OpenReader(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	expectMessages(t, r, "3")

	send(t, first, "1")
	first.Close()
	third.kill() // a writer that dies has closed too
	expectMessages(t, r, "1")
	want(t, readNow(f), unix.EAGAIN)
	send(t, second, "2")
	second.Close()
	expectMessages(t, r, "2")
	expectEOF(t, r)
	expectEOF(t, r) // and again
	want(t, r.Await(), io.EOF)

	// Not for ever.
	send(t, openWriter(t, path), "4")
	expectMessages(t, r, "4")
}

func readNow(f *fifo.FIFO) error {
	_, err := f.TryRead(make([]byte, fifo.Atomic))
	return err
}

func TestKeepOpenKeepsTheEndOfFileAway(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	f := create(t, path)
	for range 2 { // the second does nothing
		if err := f.KeepOpen(); err != nil {
			t.Fatal(err)
		}
	}
	r, err := f.OpenReader(context.Background()) // does not wait
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i := range 3 {
		w := openWriter(t, path)
		send(t, w, fmt.Sprint(i))
		w.Close()
		expectMessages(t, r, fmt.Sprint(i))
		want(t, readNow(f), unix.EAGAIN)
	}
}

func TestAwaitTakesNothing(t *testing.T) {
	t.Parallel()
	_, r, w := pair(t)
	waiting := blocked(t, r.Await, inPoll...)
	send(t, w, "hello")
	if err := within(t, waiting); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Pending(); n != len("hello") || err != nil {
		t.Errorf("Pending: %d, %v", n, err)
	}
	if err := r.Await(); err != nil {
		t.Error(err)
	}
	expectMessages(t, r, "hello")
}

// Claim 34 and the article's reader: 1023 bytes, from a packet of 4.
func TestRawReaderGetsMessages(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	stale(t, path)
	c := run(t, "raw reader", path)
	c.expect("opening")
	w, err := fifo.OpenWriter(context.Background(), path, fifo.WaitReader)
	if err != nil {
		t.Fatal(err)
	}
	c.expect("open")
	send(t, w, "abc\n", "def", strings.Repeat("x", 1500), "ghi")
	w.Close()
	// What is longer than its buffer the kernel cuts: pipe(2), O_DIRECT.
	c.expect(`"abc\n"`, `"def"`, fmt.Sprintf("%q", strings.Repeat("x", 1023)), `"ghi"`, `""`)
}

func TestRawWriterIsReadAsAStream(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	f := create(t, path)
	c := run(t, "raw writer", path, "one", "two", "three")
	c.expect("opening", "open")
	c.stop()
	r, err := f.OpenReader(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	expectMessages(t, r, "onetwothree")
	expectEOF(t, r)
}

func TestReaderKeepsReadingWhenAWriterIsKilled(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	f := create(t, path)
	c := run(t, "write", path, "last words")
	c.expect("opening", "open")
	r, err := f.OpenReader(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	waiting := make(chan error, 1)
	expectMessages(t, r, "last words")
	go func() { waiting <- r.Await() }()
	c.kill()
	want(t, within(t, waiting), io.EOF)
}

// One Reader in several goroutines: each message goes to one of them.
func TestGoroutinesShareAReader(t *testing.T) {
	t.Parallel()
	_, r, w := pair(t)
	const messages, readers = 2000, 4
	var got [readers][]int
	var all sync.WaitGroup
	for i := range readers {
		all.Go(func() {
			buf := make([]byte, fifo.Atomic)
			for {
				n, err := r.Read(buf)
				if errors.Is(err, io.EOF) {
					return
				}
				m, numErr := number(buf[:n])
				if err := errors.Join(err, numErr); err != nil {
					t.Error(err)
					return
				}
				got[i] = append(got[i], m)
			}
		})
	}
	var writers sync.WaitGroup
	for i := range 2 {
		writers.Go(func() {
			var buf []byte
			for m := i; m < messages; m += 2 {
				buf = numbered(buf[:0], m)
				if _, err := w.Write(buf); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	w.Close()
	all.Wait()
	expectEachOnce(t, messages, got[:]...)
}

// expectEachOnce checks that all numbers below count are there, once each.
func expectEachOnce(t *testing.T, count int, got ...[]int) {
	t.Helper()
	seen := make([]int, count)
	for _, numbers := range got {
		for _, n := range numbers {
			if n >= count {
				t.Fatalf("message %d, of %d", n, count)
			}
			seen[n]++
		}
	}
	lost, repeated := 0, 0
	for _, times := range seen {
		lost += max(0, 1-times)
		repeated += max(0, times-1)
	}
	if lost+repeated > 0 {
		t.Errorf("of %d messages, %d are lost and %d repeated", count, lost, repeated)
	}
}

func TestReadDoesNotAllocate(t *testing.T) {
	_, r, w := pair(t)
	buf, text := make([]byte, fifo.Atomic), []byte("hello")
	expectNoAllocations(t, func() {
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := r.Await(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(buf); err != nil {
			t.Fatal(err)
		}
	})
}

func expectNoAllocations(t *testing.T, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(2000, f); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func expectMessages(t *testing.T, r *fifo.Reader, texts ...string) {
	t.Helper()
	buf := make([]byte, fifo.Atomic)
	for _, text := range texts {
		if n, err := r.Read(buf); string(buf[:n]) != text || err != nil {
			t.Fatalf("Read: %d bytes %.40q, %v; want %d bytes %.40q", n, buf[:n], err, len(text), text)
		}
	}
}

func expectEOF(t *testing.T, r *fifo.Reader) {
	t.Helper()
	if n, err := r.Read(make([]byte, fifo.Atomic)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("Read: %d, %v; want end of file", n, err)
	}
}
