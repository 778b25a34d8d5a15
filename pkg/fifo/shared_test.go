package fifo_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/fork"
	"example.com/ipcsuite/pkg/internal/ipctest"
)

// sharedReader returns a reader in this process.
func sharedReader(t *testing.T, f *fifo.FIFO) *fifo.SharedReader {
	t.Helper()
	file, word, err := f.Shared()
	ipctest.Must(t, err)
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	file.Close()
	ipctest.Must(t, err)
	r, err := fifo.NewSharedReader(fd, word)
	ipctest.Must(t, err)
	t.Cleanup(r.Close)
	return r
}

// startReaders starts n reader processes, which are ready when it returns.
func startReaders(t *testing.T, f *fifo.FIFO, n int, say string) (readers []*ipctest.Child) {
	t.Helper()
	file, word, err := f.Shared()
	ipctest.Must(t, err)
	defer file.Close()
	for range n {
		cmd := fork.Command("shared", word, say)
		cmd.ExtraFiles = []*os.File{file}
		readers = append(readers, ipctest.Start(t, cmd))
	}
	for _, c := range readers {
		c.Expect("ready")
	}
	return readers
}

// Claim 18: each message goes to one of the readers, and in packet mode whole,
// however quickly they follow.
func TestEveryMessageReachesOneOfSeveralProcessesWhole(t *testing.T) {
	t.Parallel()
	const writers, readers, each = 2, 3, 10_000
	f := ipctest.FIFO(t, tempPath(t))
	ipctest.Must(t, f.KeepOpen())
	processes := startReaders(t, f, readers, "number")
	said := make(chan string, readers)
	for _, c := range processes {
		go func() { said <- c.Stop() }()
	}
	var bursts []*ipctest.Child
	for i := range writers {
		bursts = append(bursts, ipctest.Run(t, "burst", f.Path(), strconv.Itoa(i*each), strconv.Itoa(each)))
	}
	for _, c := range bursts {
		c.Ends()
	}
	ipctest.Must(t, f.StopReaders(t.Context(), readers))
	var numbers []int
	for range processes {
		lines := list(ipctest.Within(t, said))
		if last := lines[len(lines)-1]; last != "error: "+fifo.ErrStopped.Error() {
			t.Errorf("a reader ended with %q", last)
		}
		for _, line := range lines[:len(lines)-1] {
			n, err := strconv.Atoi(line)
			if err != nil {
				t.Fatalf("a reader said %q", line)
			}
			numbers = append(numbers, n)
		}
	}
	expectEachOnce(t, writers*each, numbers)
}

// Claim 19.
func TestEveryProcessSeesTheEndOfFile(t *testing.T) {
	t.Parallel()
	f := ipctest.FIFO(t, tempPath(t))
	w := ipctest.Writer(t, f.Path())
	readers := startReaders(t, f, 3, "quote")
	send(t, w, "hello")
	w.Close()
	var all strings.Builder
	for _, c := range readers {
		all.WriteString(c.Stop())
	}
	text := all.String()
	if strings.Count(text, "end of file\n") != 3 || strings.Count(text, `"hello"`) != 1 || len(list(text)) != 4 {
		t.Errorf("the readers said %q", text)
	}
}

func TestReadersGoOnWhenOneIsKilled(t *testing.T) {
	t.Parallel()
	f := ipctest.FIFO(t, tempPath(t))
	w := ipctest.Writer(t, f.Path())
	readers := startReaders(t, f, 2, "quote")
	readers[0].Kill()
	send(t, w, "one", "two", "three")
	readers[1].Expect(`"one"`, `"two"`, `"three"`)
	w.Close()
	readers[1].Expect("end of file")
}

func TestStopReadersLetsThemReadWhatWasWrittenBefore(t *testing.T) {
	t.Parallel()
	f := ipctest.FIFO(t, tempPath(t))
	w := ipctest.Writer(t, f.Path())
	r := sharedReader(t, f)
	// What only resembles the mark is a message.
	resembling := make([]byte, fifo.Atomic)
	copy(resembling, "0123456789abcdef")
	send(t, w, "one", string(resembling), string(make([]byte, fifo.Atomic)))
	ipctest.Must(t, f.StopReaders(context.Background(), 1))
	send(t, w, "late")
	expectNext(t, r, "one", string(resembling), string(make([]byte, fifo.Atomic)))
	for range 2 { // for good
		_, err := r.Next()
		ipctest.Want(t, err, fifo.ErrStopped)
		_, err = r.TryNext()
		ipctest.Want(t, err, fifo.ErrStopped)
	}
	// The next reader finds what came later.
	expectNext(t, sharedReader(t, f), "late")
}

// A writer without packet mode leaves bytes to which the kernel joins what
// follows, the mark too.
func TestMarkIsFoundBehindAStream(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 100, 4095, 4096, 4097, 50_000} {
		t.Run(fmt.Sprintf("%d bytes", size), func(t *testing.T) {
			t.Parallel()
			f := ipctest.FIFO(t, tempPath(t))
			r := sharedReader(t, f)
			fd := ipctest.Open(t, f.Path(), unix.O_WRONLY)
			stream := strings.Repeat("s", size)
			ipctest.Write(t, fd, stream)
			// A stream writer's last page takes in no packet of a whole page.
			ipctest.Must(t, f.StopReaders(context.Background(), 1))
			ipctest.Write(t, fd, "late")
			expectCount(t, f.Pending, 2)
			expectNext(t, r, stream)
			_, err := r.Next()
			ipctest.Want(t, err, fifo.ErrStopped)
			expectNext(t, sharedReader(t, f), "late")
		})
	}
}

func TestStopReadersWaitsWhileTheFIFOIsFull(t *testing.T) {
	t.Parallel()
	reason := errors.New("enough")
	f := ipctest.FIFO(t, tempPath(t))
	w := ipctest.Writer(t, f.Path())
	sent := fill(t, w)
	ctx, cancel := context.WithCancelCause(context.Background())
	stopping := ipctest.Blocked(t, func() error { return f.StopReaders(ctx, 2) }, ipctest.InPoll...)
	ipctest.Must(t, readNow(f)) // makes room for one
	ipctest.Eventually(t, "one mark is written", func() bool {
		n, err := w.Unread() // where it counts as messages, by its bytes
		return err != nil || n > sent-1
	})
	cancel(reason)
	ipctest.Want(t, ipctest.Within(t, stopping), reason)

	// The mark is no message.
	expectCount(t, f.Pending, sent-1)
	for i := 1; i < sent; i++ {
		expectMessages(t, f.TryRead, fmt.Sprint(i))
	}
	ipctest.Want(t, readNow(f), unix.EAGAIN)
}

func TestPendingCountsMessagesAndTakesNothing(t *testing.T) {
	t.Parallel()
	f := ipctest.FIFO(t, tempPath(t))
	expectCount(t, f.Pending, 0)
	w := ipctest.Writer(t, f.Path())
	expectCount(t, f.Pending, 0)
	if _, err := f.SetCapacity(1 << 20); err != nil {
		t.Fatal(err)
	}
	sent := fill(t, w)
	if sent != 256 {
		t.Errorf("a pipe of 1 MiB holds %d packets, want 256", sent)
	}
	for range 2 {
		expectCount(t, f.Pending, sent)
	}
	expectCount(t, w.Unread, sent)
	w.Close()
	for n := sent; n > 0; n-- {
		expectCount(t, f.Pending, n)
		ipctest.Must(t, readNow(f))
	}
	expectCount(t, f.Pending, 0)
	ipctest.Want(t, readNow(f), io.EOF)
}

func TestSharedReaderTriesWithoutBlocking(t *testing.T) {
	t.Parallel()
	f := ipctest.FIFO(t, tempPath(t))
	r := sharedReader(t, f)
	_, err := r.TryNext()
	ipctest.Want(t, err, io.EOF) // no writer
	_, err = r.Next()
	ipctest.Want(t, err, io.EOF)
	w := ipctest.Writer(t, f.Path())
	_, err = r.TryNext()
	ipctest.Want(t, err, unix.EAGAIN)
	send(t, w, "one", "two")
	if text, err := r.TryNext(); string(text) != "one" || err != nil {
		t.Errorf("TryNext: %q, %v", text, err)
	}
	expectNext(t, r, "two")
	waiting := ipctest.Blocked(t, func() error {
		text, err := r.Next()
		if string(text) != "three" {
			t.Errorf("Next: %q", text)
		}
		return err
	}, unix.SYS_READ)
	send(t, w, "three")
	ipctest.Must(t, ipctest.Within(t, waiting))
}

func TestStopOneStopsAReaderThatIsAsleep(t *testing.T) {
	f, _, w := pair(t)
	r := sharedReader(t, f)
	stopped := ipctest.Go(func() error {
		expectNext(t, r, "before")
		_, err := r.Next()
		return err
	})
	send(t, w, "before")
	ipctest.Must(t, r.StopOne(t.Context()))
	send(t, w, "behind")
	ipctest.Want(t, ipctest.Within(t, stopped), fifo.ErrStopped)
	expectCount(t, w.Unread, 1)
}

func TestSetBuffer(t *testing.T) {
	f, _, w := pair(t)
	r := sharedReader(t, f)
	capacity, err := f.Capacity()
	ipctest.Must(t, err)
	ipctest.Want(t, r.SetBuffer(make([]byte, capacity+fifo.Atomic-1)), unix.EINVAL)
	buf := make([]byte, capacity+fifo.Atomic)
	ipctest.Must(t, r.SetBuffer(buf))
	send(t, w, "hello")
	expectNext(t, r, "hello")
	if !bytes.HasPrefix(buf, []byte("hello")) {
		t.Errorf("the buffer starts with %q", buf[:10])
	}
}

// However fast a client writes, what it has written is what Shut finds, or has
// been read before.
func TestNothingComesAfterShut(t *testing.T) {
	for range 50 {
		f := ipctest.FIFO(t, tempPath(t))
		if _, err := f.SetCapacity(1 << 20); err != nil {
			t.Fatal(err)
		}
		w := ipctest.Writer(t, f.Path())
		written := ipctest.Go(func() (n int) {
			for ; ; n++ {
				if _, err := w.Write([]byte("message")); err != nil {
					return n
				}
			}
		})
		read := 0
		for buf := make([]byte, fifo.Atomic); read < 100; {
			switch _, err := f.TryRead(buf); {
			case err == nil:
				read++
			case !errors.Is(err, unix.EAGAIN):
				t.Fatal(err)
			}
		}
		left, err := f.Shut()
		ipctest.Must(t, err)
		if n := ipctest.Within(t, written); read+left != n {
			t.Fatalf("of %d messages, %d were read, and %d are said to be left", n, read, left)
		}
		f.Close()
	}
}

func TestClosedSharedReaderTouchesNoDescriptor(t *testing.T) {
	t.Parallel()
	f, _, w := pair(t)
	r := sharedReader(t, f)
	send(t, w, "unread")
	r.Close()
	r.Close()
	_, err := r.Next()
	ipctest.Want(t, err, os.ErrClosed)
	_, err = r.TryNext()
	ipctest.Want(t, err, os.ErrClosed)
	ipctest.Want(t, r.StopOne(t.Context()), os.ErrClosed)
}

// A reader process knows its FIFO only by a descriptor.
func TestErrorsOfASharedReaderNameTheFIFO(t *testing.T) {
	t.Parallel()
	f := ipctest.FIFO(t, tempPath(t))
	file, word, err := f.Shared()
	ipctest.Must(t, err)
	defer file.Close()
	_, noPipe := fifo.NewSharedReader(ipctest.Open(t, os.DevNull, unix.O_RDONLY), word)
	r, err := fifo.NewSharedReader(int(file.Fd()), word)
	ipctest.Must(t, err)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	errs := map[string]error{
		"NewSharedReader": noPipe,
		"SetBuffer":       r.SetBuffer(nil),
		"StopOne":         r.StopOne(cancelled),
	}
	r.Close()
	_, errs["Next"] = r.Next()
	_, errs["TryNext"] = r.TryNext()
	errs["StopOne, closed"] = r.StopOne(t.Context())
	for what, err := range errs {
		if err == nil || !strings.Contains(err.Error(), "FIFO "+f.Path()+": ") {
			t.Errorf("%s: %v, want it to name %s", what, err, f.Path())
		}
	}
}

func TestShutClosesTheReadEndAlsoWhereItCannotHoldAnother(t *testing.T) {
	t.Parallel()
	c := ipctest.Run(t, "shut without descriptors", tempPath(t))
	c.Expect("shut: true", "then write: broken pipe")
}

func TestClosedFIFOIsNotOpenedAgain(t *testing.T) {
	t.Parallel()
	f := ipctest.FIFO(t, tempPath(t))
	f.Close()
	_, _, err := f.Shared()
	ipctest.Want(t, err, os.ErrClosed)
	ipctest.Want(t, f.KeepOpen(), os.ErrClosed)
	ipctest.Want(t, f.StopReaders(t.Context(), 1), os.ErrClosed)
}

func TestNewSharedReaderRefusesWhatSharedHasNotReturned(t *testing.T) {
	t.Parallel()
	f := ipctest.FIFO(t, tempPath(t))
	file, word, err := f.Shared()
	ipctest.Must(t, err)
	defer file.Close()
	for _, bad := range []string{"", "00", word[1:], word + "00", strings.Repeat("x", len(word))} {
		_, err := fifo.NewSharedReader(int(file.Fd()), bad)
		ipctest.Want(t, err, unix.EINVAL)
	}
	_, err = fifo.NewSharedReader(ipctest.Open(t, os.DevNull, unix.O_RDONLY), word)
	ipctest.Want(t, err, unix.EBADF) // says fcntl(2) of what is no pipe
}

func TestSetCapacityGivesWhatItSays(t *testing.T) {
	t.Parallel()
	f, r, w := pair(t)
	for _, tt := range []struct{ asked, granted int }{
		{1, 4096}, {4096, 4096}, {4097, 8192}, {1 << 20, 1 << 20},
	} {
		if n, err := f.SetCapacity(tt.asked); n != tt.granted || err != nil {
			t.Errorf("SetCapacity(%d): %d, %v; want %d", tt.asked, n, err, tt.granted)
		}
	}
	// The kernel would take the lower 32 bits of the latter two for a size.
	for _, bytes := range []int64{0, -1, math.MinInt64, 1<<32 + 4096, math.MaxInt64} {
		asked := int(bytes)
		if int64(asked) != bytes {
			continue // an int has 32 bits itself
		}
		_, err := f.SetCapacity(asked)
		ipctest.Want(t, err, unix.EINVAL)
		ipctest.Want(t, r.SetCapacity(asked), unix.EINVAL)
		ipctest.Want(t, w.SetCapacity(asked), unix.EINVAL)
	}
	send(t, w, "one", "two")
	_, err := f.SetCapacity(4096)
	ipctest.Want(t, err, unix.EBUSY)
}

// Claims 14 and 15: what the article calls one struct file is two, which lead to
// one inode; and a FIFO takes no room on disk, however much is in it.
func TestTwoOpensAreTwoDescriptionsOfOneInode(t *testing.T) {
	t.Parallel()
	f, _, w := pair(t)
	send(t, w, strings.Repeat("x", fifo.Atomic))
	var read, written, named unix.Stat_t
	reader, writer := ipctest.Open(t, f.Path(), unix.O_RDONLY|unix.O_NONBLOCK), ipctest.Open(t, f.Path(), unix.O_WRONLY)
	ipctest.Must(t, errors.Join(unix.Fstat(reader, &read), unix.Fstat(writer, &written), unix.Lstat(f.Path(), &named)))
	if read.Ino != written.Ino || read.Ino != named.Ino {
		t.Errorf("inodes %d, %d, %d", read.Ino, written.Ino, named.Ino)
	}
	if named.Size != 0 || named.Blocks != 0 {
		t.Errorf("%d bytes in %d blocks on disk", named.Size, named.Blocks)
	}
	file, _, err := f.Shared()
	ipctest.Must(t, err)
	defer file.Close()
	inherited, err := unix.Dup(int(file.Fd()))
	ipctest.Must(t, err)
	defer unix.Close(inherited)
	same := func(a, b int) bool { return ipctest.SameDescription(t, a, os.Getpid(), b) }
	if !same(int(file.Fd()), inherited) {
		t.Error("kcmp(2) says that a duplicate has another description")
	}
	if same(reader, int(file.Fd())) || same(reader, writer) {
		t.Error("kcmp(2) says that two open(2) have one description")
	}
}

func TestNextDoesNotAllocate(t *testing.T) {
	f, _, w := pair(t)
	r := sharedReader(t, f)
	text := []byte("hello")
	for name, next := range map[string]func() ([]byte, error){"Next": r.Next, "TryNext": r.TryNext} {
		t.Run(name, func(t *testing.T) {
			ipctest.NoAllocations(t, func() {
				if _, err := w.Write(text); err != nil {
					t.Fatal(err)
				}
				if got, err := next(); err != nil || !bytes.Equal(got, text) {
					t.Fatal(got, err)
				}
				if name == "TryNext" {
					if _, err := next(); err != unix.EAGAIN { //nolint:errorlint // bare, on the data path
						t.Fatal(err)
					}
				}
			})
		})
	}
}

func expectNext(t *testing.T, r *fifo.SharedReader, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if got, err := r.Next(); string(got) != text || err != nil {
			t.Fatalf("Next: %d bytes %.40q, %v; want %d bytes %.40q", len(got), got, err, len(text), text)
		}
	}
}
