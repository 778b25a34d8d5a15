package pipe_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/internal/ipctest"
	"example.com/ipcsuite/pkg/pipe"
)

var page = os.Getpagesize()

func TestFlagsOfANewPipe(t *testing.T) {
	tests := []struct {
		name                 string
		flags                int
		nonblocking, packets bool
	}{
		{"none", 0, false, false},
		{"O_DIRECT", unix.O_DIRECT, false, true},
		{"O_NONBLOCK", unix.O_NONBLOCK, true, false},
		{"both", unix.O_DIRECT | unix.O_NONBLOCK, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, w := newPipe(t, tt.flags)
			for _, end := range []struct {
				fd      int
				packets bool
			}{{r, false}, {w, tt.packets}} {
				if got := flag(t, end.fd, unix.F_GETFD, unix.FD_CLOEXEC); !got {
					t.Errorf("descriptor %d is not close-on-exec", end.fd)
				}
				if got := flag(t, end.fd, unix.F_GETFL, unix.O_NONBLOCK); got != tt.nonblocking {
					t.Errorf("descriptor %d: O_NONBLOCK is %v, want %v", end.fd, got, tt.nonblocking)
				}
				if got, err := pipe.PacketMode(end.fd); got != end.packets || err != nil {
					t.Errorf("descriptor %d: packet mode is %v, %v; want %v", end.fd, got, err, end.packets)
				}
			}
		})
	}
}

func TestNewRefusesOtherFlags(t *testing.T) {
	for _, flags := range []int{unix.O_APPEND, unix.O_RDWR, unix.O_DIRECT | unix.O_EXCL, -1} {
		if _, _, err := pipe.New(flags); !errors.Is(err, unix.EINVAL) {
			t.Errorf("New(%#x): error is %v, want EINVAL", flags, err)
		}
	}
}

func TestCapacityIsTheNextPowerOfTwoOfPages(t *testing.T) {
	tests := []struct{ ask, get int }{
		{1, page},
		{page - 1, page},
		{page, page},
		{page + 1, 2 * page},
		{3 * page, 4 * page},
		{16*page + 1, 32 * page},
	}
	r, w := newPipe(t, 0)
	fr, fw := newFIFO(t)
	for _, end := range []int{r, w, fr, fw} {
		if got, err := pipe.Capacity(end); got != 16*page || err != nil {
			t.Errorf("new pipe: Capacity is %d, %v; want 16 pages", got, err)
		}
	}
	for _, tt := range tests {
		for _, ends := range [][2]int{{r, w}, {w, r}, {fr, fw}, {fw, fr}} {
			if got, err := pipe.SetCapacity(ends[0], tt.ask); got != tt.get || err != nil {
				t.Errorf("SetCapacity(%d) is %d, %v; want %d", tt.ask, got, err, tt.get)
			}
			if got, err := pipe.Capacity(ends[1]); got != tt.get || err != nil {
				t.Errorf("after SetCapacity(%d), Capacity of the other end is %d, %v; want %d", tt.ask, got, err, tt.get)
			}
		}
	}
}

func TestCapacityErrorsSayWhatToDo(t *testing.T) {
	_, w := newPipe(t, unix.O_DIRECT)
	ipctest.Write(t, w, "a")
	ipctest.Write(t, w, "b")

	tests := []struct {
		name  string
		bytes int
		want  unix.Errno
		hint  string
	}{
		{"zero", 0, unix.EINVAL, "1 to 1<<31 bytes"},
		{"negative", -page, unix.EINVAL, "1 to 1<<31 bytes"},
		{"fewer slots than packets", page, unix.EBUSY, "read some first"},
		{"above pipe-max-size", 1 << 30, unix.EPERM, "/proc/sys/fs/pipe-max-size is "},
	}
	if strconv.IntSize > 32 {
		tests = append(tests, tests[0])
		tests[len(tests)-1].name, tests[len(tests)-1].bytes = "beyond what the kernel sees", math.MaxInt
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			withoutPrivilege(t)
			_, err := pipe.SetCapacity(w, tt.bytes)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.hint) {
				t.Errorf("error is %v; want %v and %q", err, tt.want, tt.hint)
			}
		})
	}
	if got, err := pipe.Capacity(w); got != 16*page || err != nil {
		t.Errorf("Capacity is now %d, %v; want it unchanged", got, err)
	}
}

func TestWhatIsNotAPipeIsRefused(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	calls := map[string]func(fd int) error{
		"Capacity":      func(fd int) error { _, err := pipe.Capacity(fd); return err },
		"SetCapacity":   func(fd int) error { _, err := pipe.SetCapacity(fd, page); return err },
		"PacketMode":    func(fd int) error { _, err := pipe.PacketMode(fd); return err },
		"SetPacketMode": func(fd int) error { return pipe.SetPacketMode(fd, true) },
	}
	for name, call := range calls {
		for what, fd := range map[string]int{"a regular file": int(file.Fd()), "no descriptor": -1} {
			if err := call(fd); !errors.Is(err, unix.EBADF) || !strings.Contains(err.Error(), "not that of a pipe") {
				t.Errorf("%s of %s: error is %v, want EBADF with a reason", name, what, err)
			}
		}
	}
	if flag(t, int(file.Fd()), unix.F_GETFL, unix.O_DIRECT) {
		t.Error("SetPacketMode has set O_DIRECT on a regular file")
	}
	if _, err := pipe.Buffered(-1); !errors.Is(err, unix.EBADF) {
		t.Errorf("Buffered of no descriptor: error is %v, want EBADF", err)
	}
}

func TestPipeIsFullWhenNoSlotIsFree(t *testing.T) {
	tests := []struct {
		name   string
		flags  int
		size   int // of each write
		writes int // that fit
	}{
		{"stream writes of a page", 0, page, 16},
		{"stream writes of half a page share pages", 0, page / 2, 32},
		{"stream writes of three quarters of a page do not", 0, page * 3 / 4, 16},
		{"packets of a page", unix.O_DIRECT, page, 16},
		{"packets of one byte", unix.O_DIRECT, 1, 16},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, w := newPipe(t, tt.flags|unix.O_NONBLOCK)
			p := make([]byte, tt.size)
			writes := 0
			var err error
			for ; err == nil; writes++ {
				_, err = unix.Write(w, p)
			}
			writes-- // the last one did not
			if writes != tt.writes || !errors.Is(err, unix.EAGAIN) {
				t.Errorf("pipe took %d writes of %d bytes, then %v; want %d", writes, tt.size, err, tt.writes)
			}
			for _, end := range []int{r, w} {
				if got, err := pipe.Buffered(end); got != writes*tt.size || err != nil {
					t.Errorf("Buffered is %d, %v; want %d", got, err, writes*tt.size)
				}
			}
		})
	}
}

func TestPipeOfOnePageIsWritableExactlyWhenItIsEmpty(t *testing.T) {
	r, w := newPipe(t, 0)
	if _, err := pipe.SetCapacity(w, 1); err != nil {
		t.Fatal(err)
	}
	writable := func() bool {
		fds := []unix.PollFd{{Fd: int32(w), Events: unix.POLLOUT}}
		if _, err := unix.Poll(fds, 0); err != nil {
			t.Fatal(err)
		}
		return fds[0].Revents&unix.POLLOUT != 0
	}
	if !writable() {
		t.Error("empty pipe is not writable")
	}
	ipctest.Write(t, w, "1234")
	if writable() {
		t.Error("pipe with 4 bytes in it is writable")
	}
	if got := read(t, r, 4); got != "1234" {
		t.Errorf("read %q", got)
	}
	if !writable() {
		t.Error("pipe is not writable after all was read")
	}
}

// newPipe returns the two ends of a new pipe.
func newPipe(t testing.TB, flags int) (r, w int) {
	t.Helper()
	rf, wf, err := pipe.New(flags)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = rf.Close(), wf.Close() })
	return int(rf.Fd()), int(wf.Fd())
}

// newFIFO returns the two ends of a new FIFO.
func newFIFO(t *testing.T) (r, w int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	ipctest.Mkfifo(t, path)
	return ipctest.Open(t, path, unix.O_RDONLY|unix.O_NONBLOCK), ipctest.Open(t, path, unix.O_WRONLY)
}

// read is one read(2) with a buffer of size bytes.
func read(t *testing.T, fd, size int) string {
	t.Helper()
	p := make([]byte, size)
	n, err := unix.Read(fd, p)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return string(p[:n])
}

func flag(t *testing.T, fd, cmd, flag int) bool {
	t.Helper()
	flags, err := unix.FcntlInt(uintptr(fd), cmd, 0)
	if err != nil {
		t.Fatal(err)
	}
	return flags&flag != 0
}

// withoutPrivilege takes from the test, until it ends, what root may do beyond the
// limits on pipes. Capabilities belong to a thread.
func withoutPrivilege(t *testing.T) {
	t.Helper()
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var held, fewer [2]unix.CapUserData
	runtime.LockOSThread()
	ipctest.Must(t, unix.Capget(&hdr, &held[0]))
	fewer = held
	fewer[0].Effective &^= 1<<unix.CAP_SYS_RESOURCE | 1<<unix.CAP_SYS_ADMIN
	ipctest.Must(t, unix.Capset(&hdr, &fewer[0]))
	t.Cleanup(func() {
		if err := unix.Capset(&hdr, &held[0]); err != nil {
			panic(fmt.Sprintf("capabilities are lost: %v", err))
		}
		runtime.UnlockOSThread()
	})
}
