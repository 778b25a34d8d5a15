package fifo_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/internal/ipctest"
)

// A peer that makes the kernel wait for memory in the middle of a copy has the pipe's
// mutex meanwhile, and the calls of all others sleep. They must not take the program
// with them: the garbage collector has to stop all goroutines, and it can stop none
// that sleeps in a system call of which the scheduler does not know.
func TestWhoeverHoldsThePipeDoesNotHoldTheProgram(t *testing.T) {
	for name, tt := range map[string]struct {
		call int
		mode fs.FileMode
		do   func(*fifo.Reader, *fifo.Writer) error
	}{
		"Read": {unix.SYS_READ, 0o600, func(r *fifo.Reader, _ *fifo.Writer) error {
			_, err := r.Read(make([]byte, fifo.Atomic))
			return err
		}},
		"Write, where others can open the FIFO too": {unix.SYS_WRITE, 0o666, func(_ *fifo.Reader, w *fifo.Writer) error {
			_, err := w.Write([]byte("x"))
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) { // not parallel: the program is held, where this fails
			path := tempPath(t)
			f, err := fifo.Create(context.Background(), path, fifo.Options{Mode: tt.mode})
			ipctest.Must(t, err)
			defer f.Remove()
			w := ipctest.Writer(t, path)
			r := ipctest.Reader(t, f)

			peer := ipctest.Run(t, "hold", path)
			if said := peer.Line(); said != "writing" {
				t.Skip("NOT TESTED: userfaultfd(2) takes CAP_SYS_PTRACE: ", said)
			}
			holds := func() bool { return ipctest.ThreadsIn(peer.PID(), unix.SYS_WRITE) == 1 }
			ipctest.Eventually(t, "the peer holds the pipe", holds)
			done := ipctest.Blocked(t, func() error { return tt.do(r, w) }, tt.call)
			runtime.GC()
			if !holds() {
				t.Error("the garbage collector had to wait for the peer")
			}
			peer.Kill()
			w.Close()
			_ = ipctest.Within(t, done) // it may have been done, or say that the writers have gone
		})
	}
}

// hold writes a page that never comes (userfaultfd(2)), for longer than a test waits
// for anything.
func hold(args []string) error {
	runtime.LockOSThread()
	time.AfterFunc(2*ipctest.Limit, func() { os.Exit(1) })
	w, err := unix.Open(args[0], unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	const size = 1 << 16 // a page, whatever its size
	page, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	faults, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, 0, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("userfaultfd", errno)
	}
	api := struct{ api, features, ioctls uint64 }{api: 0xaa} // UFFD_API
	register := struct{ start, length, mode, ioctls uint64 }{uint64(uintptr(unsafe.Pointer(&page[0]))), size, 1, 0}
	const uffdioAPI, uffdioRegister = 0xc018aa3f, 0xc020aa00
	_, _, errno1 := unix.Syscall(unix.SYS_IOCTL, faults, uffdioAPI, uintptr(unsafe.Pointer(&api)))
	_, _, errno2 := unix.Syscall(unix.SYS_IOCTL, faults, uffdioRegister, uintptr(unsafe.Pointer(&register)))
	if err := errors.Join(noError(errno1), noError(errno2)); err != nil {
		return err
	}
	fmt.Println("writing")
	_, err = unix.Write(w, page[:fifo.Atomic])
	return err
}

func noError(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return os.NewSyscallError("ioctl", errno)
}
