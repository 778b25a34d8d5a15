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
	"example.com/ipcsuite/pkg/internal/ipctest"
)

func TestOpenReaderReturnsWhenAWriterHasCome(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		// comes does what is waited for.
		comes func(t *testing.T, path string)
		reads string
	}{
		"and waits": {
			comes: func(t *testing.T, path string) { ipctest.Writer(t, path) },
		},
		"and writes": {
			comes: func(t *testing.T, path string) { send(t, ipctest.Writer(t, path), "hello") },
			reads: "hello",
		},
		"and wrote and left": {
			comes: func(t *testing.T, path string) {
				w := ipctest.Writer(t, path)
				send(t, w, "hello")
				w.Close()
			},
			reads: "hello",
		},
		"and left": {
			comes: func(t *testing.T, path string) { ipctest.Writer(t, path).Close() },
		},
		"for both ways": {
			comes: func(t *testing.T, path string) { ipctest.Open(t, path, unix.O_RDWR|unix.O_NONBLOCK) },
		},
		"after other readers": {
			comes: func(t *testing.T, path string) {
				ipctest.Open(t, path, unix.O_RDONLY|unix.O_NONBLOCK)
				ipctest.Open(t, path, unix.O_PATH)
				ipctest.Writer(t, path)
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
				f := ipctest.FIFO(t, path)
				var r *fifo.Reader
				waiting := ipctest.Blocked(t, func() (err error) {
					r, err = open(f)
					return err
				}, ipctest.InPoll...)
				tt.comes(t, path)
				ipctest.Must(t, ipctest.Within(t, waiting))
				defer r.Close()
				if tt.reads != "" {
					expectMessages(t, r.Read, tt.reads)
				}
			})
		}
	}
}

func TestOpenReaderMeetsAWriterThatBlocksInOpen(t *testing.T) {
	t.Parallel()
	path, c := blockedInOpen(t, "raw writer")
	r, err := fifo.OpenReader(context.Background(), path)
	ipctest.Must(t, err)
	defer r.Close()
	c.Expect("open")
}

func TestOpenReaderDoesNotWaitForASecondWriter(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	f := ipctest.FIFO(t, path)
	ipctest.Writer(t, path).Close()
	r := ipctest.Reader(t, f)
	expectEOF(t, r)
}

func TestOpenReaderDoesNotReturnForOthers(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	ipctest.FIFO(t, path)
	ctx, cancel := context.WithCancelCause(context.Background())
	waiting := ipctest.Blocked(t, func() error {
		_, err := fifo.OpenReader(ctx, path)
		return err
	}, ipctest.InPoll...)
	for range 10 {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		ipctest.Must(t, err)
		unix.Close(fd)
		ipctest.Must(t, os.Chmod(path, 0o640))
		ipctest.Want(t, fifo.Live(path), unix.EADDRINUSE)
	}
	reason := errors.New("enough")
	cancel(reason)
	ipctest.Want(t, ipctest.Within(t, waiting), reason)
}

func TestOpenReaderRefusesWhatIsNoFIFO(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ipctest.Must(t, errors.Join(
		os.WriteFile(dir+"/file", nil, 0o600),
		unix.Mkfifo(dir+"/fifo", 0o600),
		os.Symlink("fifo", dir+"/link"),
	))
	for name, target := range map[string]error{
		dir + "/file":     fifo.ErrNotFIFO,
		dir + "/link":     fifo.ErrNotFIFO,
		dir:               fifo.ErrNotFIFO,
		"/dev/null":       fifo.ErrNotFIFO,
		dir + "/nonesuch": unix.ENOENT,
	} {
		_, err := fifo.OpenReader(context.Background(), name)
		ipctest.Want(t, err, target)
		for _, wait := range []fifo.Wait{fifo.NoWait, fifo.WaitReader, fifo.WaitPath} {
			if wait == fifo.WaitPath && name == dir+"/nonesuch" {
				continue // which it waits for
			}
			_, err = fifo.OpenWriter(context.Background(), name, wait)
			ipctest.Want(t, err, target)
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
				f := ipctest.FIFO(t, path)
				ipctest.Writer(t, path)
				ctx, cancel := context.WithCancelCause(context.Background())
				r, err := f.OpenReader(ctx)
				ipctest.Must(t, err)
				waiting := ipctest.Blocked(t, func() error { return wait(r) }, ipctest.InPoll...)
				if end == "Close" {
					r.Close()
				} else {
					cancel(reason)
				}
				ipctest.Want(t, ipctest.Within(t, waiting), target)
				ipctest.Want(t, wait(r), target) // and those that come after
				r.Close()
				ipctest.Want(t, wait(r), os.ErrClosed)
				cancel(nil)
			}
		})
	}
}

func TestWhatIsLeftCanBeReadWhenTheContextIsDone(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	f := ipctest.FIFO(t, path)
	w := ipctest.Writer(t, path)
	ctx, cancel := context.WithCancel(context.Background())
	r, err := f.OpenReader(ctx)
	ipctest.Must(t, err)
	defer r.Close()
	send(t, w, "one", "two")
	cancel()
	expectMessages(t, r.Read, "one", "two")
	_, err = r.Read(make([]byte, fifo.Atomic))
	ipctest.Want(t, err, context.Canceled)
}

func TestCloseWaitsForNobodyAndCanBeRepeated(t *testing.T) {
	t.Parallel()
	_, r, w := pair(t)
	for range 2 {
		ipctest.Must(t, errors.Join(r.Close(), w.Close()))
	}
	_, err := r.Pending()
	ipctest.Want(t, err, os.ErrClosed)
	_, err = w.Unread()
	ipctest.Want(t, err, os.ErrClosed)
	ipctest.Want(t, w.Await(), os.ErrClosed)
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
		ipctest.Want(t, err, unix.EINVAL)
		_, err = f.TryRead(make([]byte, size))
		ipctest.Want(t, err, unix.EINVAL)
	}
	expectMessages(t, r.Read, "whole")
}

// Claim 7: the end comes when every writer has closed, after what is left.
func TestEndOfFileComesWhenEveryWriterHasClosed(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	f := ipctest.FIFO(t, path)
	first, second := ipctest.Writer(t, path), ipctest.Writer(t, path)
	third := ipctest.Run(t, "write", path, "3")
	third.Expect("opening", "open")
	r := ipctest.Reader(t, f)
	expectMessages(t, r.Read, "3")

	send(t, first, "1")
	first.Close()
	third.Kill() // a writer that dies has closed too
	expectMessages(t, r.Read, "1")
	ipctest.Want(t, readNow(f), unix.EAGAIN)
	send(t, second, "2")
	second.Close()
	expectMessages(t, r.Read, "2")
	expectEOF(t, r)
	expectEOF(t, r) // and again
	ipctest.Want(t, r.Await(), io.EOF)

	// Not for ever.
	send(t, ipctest.Writer(t, path), "4")
	expectMessages(t, r.Read, "4")
}

func readNow(f *fifo.FIFO) error {
	_, err := f.TryRead(make([]byte, fifo.Atomic))
	return err
}

func TestKeepOpenKeepsTheEndOfFileAway(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	f := ipctest.FIFO(t, path)
	for range 2 { // the second does nothing
		ipctest.Must(t, f.KeepOpen())
	}
	r := ipctest.Reader(t, f) // does not wait
	for i := range 3 {
		w := ipctest.Writer(t, path)
		send(t, w, fmt.Sprint(i))
		w.Close()
		expectMessages(t, r.Read, fmt.Sprint(i))
		ipctest.Want(t, readNow(f), unix.EAGAIN)
	}
}

func TestAwaitTakesNothing(t *testing.T) {
	t.Parallel()
	_, r, w := pair(t)
	waiting := ipctest.Blocked(t, r.Await, ipctest.InPoll...)
	send(t, w, "hello")
	ipctest.Must(t, ipctest.Within(t, waiting))
	expectCount(t, r.Pending, len("hello"))
	ipctest.Must(t, r.Await())
	expectMessages(t, r.Read, "hello")
}

// Claim 34 and the article's reader: 1023 bytes, from a packet of 4.
func TestRawReaderGetsMessages(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	ipctest.Mkfifo(t, path)
	c := ipctest.Run(t, "raw reader", path)
	c.Expect("opening")
	w, err := fifo.OpenWriter(context.Background(), path, fifo.WaitReader)
	ipctest.Must(t, err)
	c.Expect("open")
	send(t, w, "abc\n", "def", strings.Repeat("x", 1500), "ghi")
	w.Close()
	// What is longer than its buffer the kernel cuts: pipe(2), O_DIRECT.
	c.Expect(`"abc\n"`, `"def"`, fmt.Sprintf("%q", strings.Repeat("x", 1023)), `"ghi"`, `""`)
}

func TestRawWriterIsReadAsAStream(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	f := ipctest.FIFO(t, path)
	c := ipctest.Run(t, "raw writer", path, "one", "two", "three")
	c.Expect("opening", "open")
	c.Ends()
	r := ipctest.Reader(t, f)
	expectMessages(t, r.Read, "onetwothree")
	expectEOF(t, r)
}

func TestReaderKeepsReadingWhenAWriterIsKilled(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	f := ipctest.FIFO(t, path)
	c := ipctest.Run(t, "write", path, "last words")
	c.Expect("opening", "open")
	r := ipctest.Reader(t, f)
	expectMessages(t, r.Read, "last words")
	waiting := ipctest.Go(r.Await)
	c.Kill()
	ipctest.Want(t, ipctest.Within(t, waiting), io.EOF)
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
	ipctest.NoAllocations(t, func() {
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
		ipctest.Must(t, r.Await())
		if _, err := r.Read(buf); err != nil {
			t.Fatal(err)
		}
	})
}

// expectMessages checks what a Read, or a TryRead, returns.
func expectMessages(t *testing.T, read func(buf []byte) (int, error), texts ...string) {
	t.Helper()
	buf := make([]byte, fifo.Atomic)
	for _, text := range texts {
		if n, err := read(buf); string(buf[:n]) != text || err != nil {
			t.Fatalf("Read: %d bytes %.40q, %v; want %d bytes %.40q", n, buf[:n], err, len(text), text)
		}
	}
}

// expectCount checks what a Pending, or an Unread, returns.
func expectCount(t *testing.T, count func() (int, error), want int) {
	t.Helper()
	if n, err := count(); n != want || err != nil {
		t.Errorf("counted %d, %v; want %d", n, err, want)
	}
}

func expectEOF(t *testing.T, r *fifo.Reader) {
	t.Helper()
	if n, err := r.Read(make([]byte, fifo.Atomic)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("Read: %d, %v; want end of file", n, err)
	}
}
