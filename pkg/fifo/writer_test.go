package fifo_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/internal/ipctest"
)

func TestOpenWriterWithoutWaitingSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	_, err := fifo.OpenWriter(context.Background(), path, fifo.NoWait)
	ipctest.Want(t, err, unix.ENOENT)
	ipctest.Mkfifo(t, path)
	_, err = fifo.OpenWriter(context.Background(), path, fifo.NoWait)
	ipctest.Want(t, err, unix.ENXIO)
}

func TestOpenWriterUnderACancelledContextFails(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	ipctest.FIFO(t, path)
	reason := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(reason)
	for _, wait := range []fifo.Wait{fifo.NoWait, fifo.WaitReader, fifo.WaitPath} {
		_, err := fifo.OpenWriter(ctx, path, wait)
		ipctest.Want(t, err, reason)
	}
}

// waiting starts an OpenWriter and returns when it waits: in open(2) if there is
// a FIFO at the path. Tests that use it cannot be parallel: they tell by the
// threads of the process.
func waiting(t *testing.T, ctx context.Context, path string, wait fifo.Wait) <-chan opened {
	t.Helper()
	_, err := os.Lstat(path)
	exists := err == nil
	before := ipctest.ThreadsIn(os.Getpid(), unix.SYS_OPENAT)
	result := open(ctx, path, wait)
	if exists {
		ipctest.Eventually(t, "OpenWriter blocks in open(2)", func() bool {
			return ipctest.ThreadsIn(os.Getpid(), unix.SYS_OPENAT) > before
		})
	}
	return result
}

// open starts an OpenWriter.
func open(ctx context.Context, path string, wait fifo.Wait) <-chan opened {
	return ipctest.Go(func() opened {
		w, err := fifo.OpenWriter(ctx, path, wait)
		return opened{w, err}
	})
}

type opened struct {
	w   *fifo.Writer
	err error
}

// writerOf returns what an OpenWriter returns, which must succeed.
func writerOf(t *testing.T, result <-chan opened) *fifo.Writer {
	t.Helper()
	o := ipctest.Within(t, result)
	ipctest.Must(t, o.err)
	t.Cleanup(func() { o.w.Close() })
	return o.w
}

func TestOpenWriterWaitsForAReader(t *testing.T) {
	ways := map[string]struct {
		from  fifo.Wait // the least of waits that this takes
		comes func(t *testing.T, path string)
	}{
		"a server that replaces the FIFO": {fifo.WaitReader, func(t *testing.T, path string) { ipctest.FIFO(t, path) }},
		"a server that blocks in open(2)": {fifo.WaitReader, func(t *testing.T, path string) {
			ipctest.Run(t, "raw reader", path).Expect("opening", "open")
		}},
		"a reader that does not block": {fifo.WaitReader, func(t *testing.T, path string) {
			ipctest.Open(t, path, unix.O_RDONLY|unix.O_NONBLOCK)
		}},
		"a reader of this package": {fifo.WaitReader, func(t *testing.T, path string) {
			ipctest.Run(t, "read", path).Expect("open")
		}},
		"another FIFO, moved into place": {fifo.WaitReader, moveIntoPlace},
		"removal, and a server later": {fifo.WaitPath, func(t *testing.T, path string) {
			for range 3 {
				ipctest.Must(t, errors.Join(os.Remove(path), unix.Mkfifo(path, 0o600)))
			}
			ipctest.FIFO(t, path)
		}},
	}
	for name, way := range ways {
		for _, wait := range []fifo.Wait{fifo.WaitReader, fifo.WaitPath} {
			if wait < way.from {
				continue
			}
			t.Run(fmt.Sprintf("%s, wait %d", name, wait), func(t *testing.T) {
				path := tempPath(t)
				ipctest.Mkfifo(t, path)
				result := waiting(t, context.Background(), path, wait)
				way.comes(t, path)
				send(t, writerOf(t, result), "hello")
			})
		}
	}
}

// moveIntoPlace has a server make its FIFO elsewhere, and rename it.
func moveIntoPlace(t *testing.T, path string) {
	t.Helper()
	ipctest.FIFO(t, path+".other")
	ipctest.Must(t, os.Rename(path+".other", path))
}

func TestOpenWriterWaitsForThePath(t *testing.T) {
	ways := map[string]func(t *testing.T, path string){
		"the FIFO is made":       func(t *testing.T, path string) { ipctest.FIFO(t, path) },
		"it is moved into place": moveIntoPlace,
		"it comes, goes, and comes with a server": func(t *testing.T, path string) {
			for range 3 {
				ipctest.Must(t, errors.Join(unix.Mkfifo(path, 0o600), os.Remove(path)))
			}
			ipctest.FIFO(t, path)
		},
		"it comes as a program without this package makes it": func(t *testing.T, path string) {
			ipctest.Mkfifo(t, path)
			ipctest.Run(t, "raw reader", path).Expect("opening", "open")
		},
		"a server dies and another comes": func(t *testing.T, path string) {
			ipctest.Mkfifo(t, path)
			ipctest.FIFO(t, path)
		},
	}
	for name, comes := range ways {
		t.Run(name, func(t *testing.T) {
			path := tempPath(t)
			result := waiting(t, context.Background(), path, fifo.WaitPath)
			comes(t, path)
			send(t, writerOf(t, result), "hello")
		})
	}
}

func TestWaitForThePathEndsWithTheFolder(t *testing.T) {
	t.Run("that was not there", func(t *testing.T) {
		_, err := fifo.OpenWriter(context.Background(), filepath.Join(t.TempDir(), "nonesuch", "fifo"), fifo.WaitPath)
		ipctest.Want(t, err, unix.ENOENT)
	})
	t.Run("that is removed", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "folder", "fifo")
		ipctest.Must(t, os.Mkdir(filepath.Dir(path), 0o700))
		ipctest.Mkfifo(t, path) // so that it can be seen to wait
		result := waiting(t, context.Background(), path, fifo.WaitPath)
		ipctest.Must(t, os.RemoveAll(filepath.Dir(path)))
		ipctest.Want(t, ipctest.Within(t, result).err, unix.ENOENT)
	})
	t.Run("but goes on in one that takes its place", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "folder", "fifo")
		ipctest.Must(t, errors.Join(os.Mkdir(dir+"/folder", 0o700), os.Mkdir(dir+"/other", 0o700)))
		ipctest.Mkfifo(t, path)
		result := waiting(t, context.Background(), path, fifo.WaitPath)
		ipctest.Must(t, unix.Renameat2(unix.AT_FDCWD, dir+"/folder", unix.AT_FDCWD, dir+"/other", unix.RENAME_EXCHANGE))
		ipctest.FIFO(t, path)
		writerOf(t, result)
	})
}

func TestContextEndsEveryWaitForAReader(t *testing.T) {
	reason := errors.New("enough")
	tests := map[string]struct {
		prepare func(testing.TB, string)
		wait    fifo.Wait
	}{
		"WaitReader":        {ipctest.Mkfifo, fifo.WaitReader},
		"WaitPath":          {ipctest.Mkfifo, fifo.WaitPath},
		"WaitPath, no FIFO": {func(testing.TB, string) {}, fifo.WaitPath},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := tempPath(t)
			tt.prepare(t, path)
			ctx, cancel := context.WithCancelCause(context.Background())
			result := waiting(t, ctx, path, tt.wait)
			cancel(reason)
			ipctest.Want(t, ipctest.Within(t, result).err, reason)
			if n := ipctest.ThreadsIn(os.Getpid(), unix.SYS_OPENAT); n != 0 {
				t.Errorf("%d threads are left in open(2)", n)
			}
		})
	}
}

// Who may not read the FIFO cannot free the thread, but does not wait for it.
func TestContextEndsTheWaitOfOneWhoMayOnlyWrite(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	ipctest.Mkfifo(t, path)
	ipctest.Must(t, os.Chmod(path, 0o622))
	c := runAsNobody(t, "write", path)
	c.Expect("opening")
	if _, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", c.PID())); errors.Is(err, os.ErrPermission) {
		t.Skip("NOT TESTED: to see where another user's process waits takes CAP_SYS_PTRACE: ", err)
	}
	ipctest.Eventually(t, "it blocks in open(2)", func() bool { return ipctest.ThreadsIn(c.PID(), unix.SYS_OPENAT) == 1 })
	c.Ends("error: open FIFO " + path + " for writing: told to end")
}

// It ends also while another process has the folder locked.
func TestContextEndsTheWaitForAReaderInALockedFolder(t *testing.T) {
	path := tempPath(t)
	ipctest.Mkfifo(t, path)
	reason := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	result := waiting(t, ctx, path, fifo.WaitReader)
	unlock := lockFolder(t, path)
	cancel(reason)
	ipctest.Want(t, ipctest.Within(t, result).err, reason)
	unlock()
	ipctest.Eventually(t, "no thread is left in open(2)", func() bool { return ipctest.ThreadsIn(os.Getpid(), unix.SYS_OPENAT) == 0 })
}

// One that gives up is a reader for a moment, in which it has the folder locked.
func TestReaderThatOnlyGivesUpIsNotTheOneWaitedFor(t *testing.T) {
	for name, early := range map[string]bool{"there before": true, "comes later": false} {
		t.Run(name, func(t *testing.T) {
			path := tempPath(t)
			ipctest.Mkfifo(t, path)
			var result <-chan opened
			if !early {
				result = waiting(t, context.Background(), path, fifo.WaitReader)
			}
			unlock := lockFolder(t, path)
			both, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
			ipctest.Must(t, err)
			if early {
				result = open(context.Background(), path, fifo.WaitReader)
			}
			ipctest.Eventually(t, "the waiter has met the reader", func() bool {
				return ipctest.ThreadsIn(os.Getpid(), unix.SYS_FLOCK) == 1
			})
			ipctest.Must(t, unix.Close(both))
			unlock()
			ipctest.Eventually(t, "the waiter waits on", func() bool {
				if len(result) > 0 {
					t.Fatalf("the waiter has returned: %v", (<-result).err)
				}
				return ipctest.ThreadsIn(os.Getpid(), unix.SYS_OPENAT) == 1
			})
			ipctest.FIFO(t, path)
			writerOf(t, result)
		})
	}
}

func TestWaiterIsNotFooledByOthersThatGiveUp(t *testing.T) {
	path := tempPath(t)
	ipctest.Mkfifo(t, path)
	steady := waiting(t, context.Background(), path, fifo.WaitPath)
	process := ipctest.Run(t, "write", path)
	process.Expect("opening")
	for range 50 {
		ctx, cancel := context.WithCancel(context.Background())
		// From here it can be anywhere: also on its way to open(2).
		result := open(ctx, path, fifo.WaitReader)
		cancel()
		ipctest.Want(t, ipctest.Within(t, result).err, context.Canceled)

		ipctest.Eventually(t, "the other waits in open(2) again", func() bool {
			return ipctest.ThreadsIn(os.Getpid(), unix.SYS_OPENAT) == 1
		})
		ctx, cancel = context.WithCancel(context.Background())
		gone := waiting(t, ctx, path, fifo.WaitReader)
		cancel()
		ipctest.Want(t, ipctest.Within(t, gone).err, context.Canceled)
		if len(steady) > 0 {
			t.Fatalf("the waiter has returned without a server: %v", (<-steady).err)
		}
	}
	f := ipctest.FIFO(t, path)
	writer := writerOf(t, steady)
	process.Expect("open")
	send(t, writer, "hello")
	expectMessages(t, f.TryRead, "hello")
}

// Whoever finds the FIFO finds it with its mode, also between mkfifo(3), whose
// mode the umask cuts, and the mode that was asked for.
func TestWaiterOfAnotherUserNeverMeetsAHalfMadeFIFO(t *testing.T) {
	t.Parallel()
	for range 10 {
		path := tempPath(t)
		c := runAsNobody(t, "write", path)
		c.Expect("opening")
		f, err := fifo.Create(context.Background(), path, fifo.Options{Mode: 0o666})
		ipctest.Must(t, err)
		c.Expect("open")
		ipctest.Must(t, f.Remove())
	}
}

func TestMessagesOfEverySizeArriveWhole(t *testing.T) {
	t.Parallel()
	_, r, w := pair(t)
	for _, size := range []int{1, 2, 1023, 1024, 4095, 4096} {
		text := strings.Repeat("x", size-1) + "."
		send(t, w, text, text)
		expectMessages(t, r.Read, text, text)
	}
	for size, target := range map[int]error{0: unix.EINVAL, 4097: unix.EMSGSIZE, 1 << 20: unix.EMSGSIZE} {
		_, err := w.Write(make([]byte, size))
		ipctest.Want(t, err, target)
	}
	expectCount(t, r.Pending, 0)
	send(t, w, "\x00", "\n", "\xff\xfe", "\r\n")
	expectMessages(t, r.Read, "\x00", "\n", "\xff\xfe", "\r\n")
}

// Claim 6: in packet mode a pipe is full with 16 packets, however short.
func TestWriteBlocksWhenTheFIFOIsFull(t *testing.T) {
	t.Parallel()
	_, r, w := pair(t)
	slots := fill(t, w)
	waiting := ipctest.Blocked(t, func() error {
		_, err := w.Write([]byte("last"))
		return err
	}, ipctest.InPoll...)
	expectMessages(t, r.Read, "0")
	ipctest.Must(t, ipctest.Within(t, waiting))
	for i := 1; i < slots; i++ {
		expectMessages(t, r.Read, fmt.Sprint(i))
	}
	expectMessages(t, r.Read, "last")
}

// fill writes messages, 0 and so on, until there is no room, and returns how
// many there are.
func fill(t *testing.T, w *fifo.Writer) int {
	t.Helper()
	for n := 0; ; n++ {
		room, err := w.Ready()
		ipctest.Must(t, err)
		if !room {
			return n
		}
		send(t, w, fmt.Sprint(n))
	}
}

func TestContextCloseAndThePeersLeavingEndEveryWaitOfAWriter(t *testing.T) {
	t.Parallel()
	reason := errors.New("enough")
	for name, wait := range map[string]func(*fifo.Writer) error{
		"Write": func(w *fifo.Writer) error {
			_, err := w.Write([]byte("last"))
			return err
		},
		"Await": (*fifo.Writer).Await,
	} {
		for end, target := range map[string]error{
			"the context": reason,
			"Close":       os.ErrClosed,
			"the peer":    unix.EPIPE,
		} {
			t.Run(name+", "+end, func(t *testing.T) {
				t.Parallel()
				path := tempPath(t)
				server := ipctest.Run(t, "serve", path)
				server.Expect("serving, replaced: false")
				ctx, cancel := context.WithCancelCause(context.Background())
				defer cancel(nil)
				w, err := fifo.OpenWriter(ctx, path, fifo.NoWait)
				ipctest.Must(t, err)
				defer w.Close()
				sent := fill(t, w)
				waiting := ipctest.Blocked(t, func() error { return wait(w) }, ipctest.InPoll...)
				switch end {
				case "the context":
					cancel(reason)
				case "Close":
					w.Close()
				case "the peer":
					server.Kill()
				}
				ipctest.Want(t, ipctest.Within(t, waiting), target)
				if end == "Close" {
					return
				}
				expectCount(t, w.Unread, sent)
				if w.PeerGone() != (end == "the peer") {
					t.Errorf("PeerGone: %v", w.PeerGone())
				}
			})
		}
	}
}

// What was written and not read when the last reader left is lost, and counted.
func TestUnreadIsExactAfterTheReadersDeath(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		sizes    func(i int) int
		capacity int // 0: as it is
		read     int // of how many
		left     int
	}{
		"short ones":                    {sizes: func(int) int { return 1 }, left: 16},
		"long ones":                     {sizes: func(int) int { return 4096 }, left: 16},
		"none":                          {sizes: func(int) int { return 5 }, read: 3},
		"all kinds":                     {sizes: func(i int) int { return 1 + i*997%4096 }, read: 40, left: 11},
		"in a large pipe":               {sizes: func(i int) int { return 1 + i*997%4096 }, capacity: 1 << 20, read: 700, left: 256},
		"more than memory was made for": {sizes: func(i int) int { return 1 + i*7%100 }, capacity: 1 << 20, read: 5000, left: 201},
		"in a small pipe":               {sizes: func(i int) int { return 1 + i%9 }, capacity: 4096, read: 1100, left: 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, w := pair(t)
			// The server may set the capacity after the writer has come.
			if tt.capacity != 0 {
				if n, err := f.SetCapacity(tt.capacity); n != tt.capacity || err != nil {
					t.Fatalf("SetCapacity: %d, %v", n, err)
				}
			}
			buf := make([]byte, fifo.Atomic)
			for i := range tt.read + tt.left {
				send(t, w, strings.Repeat("x", tt.sizes(i)))
				if i < tt.read {
					expectMessages(t, r.Read, strings.Repeat("x", tt.sizes(i)))
				}
			}
			for range 2 { // alive or dead
				expectCount(t, w.Unread, tt.left)
				ipctest.Must(t, errors.Join(f.Remove(), r.Close()))
				// A child that another test forks has the read end up to its execve(2).
				ipctest.Eventually(t, "nobody reads", w.PeerGone)
				_, err := w.Write(buf)
				ipctest.Want(t, err, unix.EPIPE)
				f = ipctest.FIFO(t, f.Path()) // a new server changes nothing
			}
			if !w.PeerGone() {
				t.Error("PeerGone is false")
			}
			ipctest.Want(t, w.Await(), unix.EPIPE)
		})
	}
}

func TestUnreadIsAtMostThatWhereThereAreOtherWriters(t *testing.T) {
	t.Parallel()
	f, r, w := pair(t)
	other := ipctest.Writer(t, f.Path())
	send(t, w, "12", "12", "12")
	send(t, other, "1234")
	expectMessages(t, r.Read, "12")
	if n, err := w.Unread(); n < 2 || n > 3 || err != nil {
		t.Errorf("Unread: %d, %v; want 2 or 3", n, err)
	}
	expectCount(t, other.Unread, 1)
}

func TestWriterLearnsThatTheServerWasKilled(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	server := ipctest.Run(t, "serve", path)
	server.Expect("serving, replaced: false")
	w := ipctest.Writer(t, path)
	if w.PeerGone() {
		t.Error("PeerGone while the server lives")
	}
	send(t, w, "one", "two", "three")
	gone := ipctest.Blocked(t, w.AwaitGone, ipctest.InPoll...)
	server.Kill()
	ipctest.Must(t, ipctest.Within(t, gone))
	if !w.PeerGone() {
		t.Error("PeerGone is false")
	}
	expectCount(t, w.Unread, 3)
}

// Claim 8: SIGPIPE ends a process that has it by default. Go's runtime catches
// it, so that the write fails instead.
func TestWriteWithoutReadersDoesNotKill(t *testing.T) {
	t.Parallel()
	ipctest.Run(t, "sigpipe", tempPath(t)).Ends("EPIPE: true")
}

func TestWriteDoesNotAllocate(t *testing.T) {
	f, _, w := pair(t)
	text, buf := []byte("hello"), make([]byte, fifo.Atomic)
	ipctest.NoAllocations(t, func() { // of which there are more than sizes are remembered
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
		if _, err := f.TryRead(buf); err != nil {
			t.Fatal(err)
		}
	})
}
