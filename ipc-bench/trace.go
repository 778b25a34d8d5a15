package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// calls is how often a thread made each system call, by its number.
type calls map[uint64]int

// tracer follows the system calls of a thread of a child, with ptrace(2), which
// needs no privilege for that.
type tracer struct {
	tid   int
	ready chan error // attached, or why not
	done  chan calls
	err   error // valid after done
}

// trace attaches to the thread, counts its system calls between two marks, and
// lets it go.
func trace(tid int) (*tracer, error) {
	t := &tracer{tid: tid, ready: make(chan error, 1), done: make(chan calls, 1)}
	go func() {
		// All of ptrace(2) must come from one thread. It ends with this function,
		// as it stays locked, and with it the trace, whatever state that is in.
		runtime.LockOSThread()
		counted, err := t.follow()
		t.err = err
		t.done <- counted
	}()
	return t, <-t.ready
}

// result blocks until the thread has made its second mark.
func (t *tracer) result() (calls, error) {
	counted := <-t.done
	return counted, t.err
}

// Values of siginfo_t's si_code (sigaction(2)) that mean a stop.
const (
	childTrapped = 4
	childStopped = 5
)

// follow counts the calls that the thread makes between its two marks.
func (t *tracer) follow() (calls, error) {
	if err := t.seize(); err != nil {
		t.ready <- err
		return nil, err
	}
	var (
		counted = calls{}
		ready   bool // it has been stopped, and goes on under observation
		marks   int
	)
	for {
		status, err := t.nextStop()
		if err != nil {
			return nil, err
		}
		deliver := 0
		switch stop := status & 0xff; {
		case status>>8 == unix.PTRACE_EVENT_STOP:
			// Of the interrupt, or of a signal that stops the process.
		case stop == int(unix.SIGTRAP)|0x80:
			call, entered, err := t.call()
			if err != nil {
				return nil, err
			}
			switch {
			case !entered:
			case call == markCall:
				marks++
			case marks == 1:
				counted[call]++
			}
			if marks == 2 {
				return counted, ptrace(unix.PTRACE_DETACH, t.tid, 0, 0)
			}
		default:
			deliver = stop
		}
		if err := ptrace(unix.PTRACE_SYSCALL, t.tid, 0, uintptr(deliver)); err != nil {
			return nil, err
		}
		if !ready {
			ready = true
			t.ready <- nil
		}
	}
}

// seize attaches to the thread, and has it stop.
func (t *tracer) seize() error {
	const options = unix.PTRACE_O_TRACESYSGOOD
	if err := ptrace(unix.PTRACE_SEIZE, t.tid, 0, options); err != nil {
		return fmt.Errorf("follow thread %d: %w", t.tid, err)
	}
	if err := ptrace(unix.PTRACE_INTERRUPT, t.tid, 0, 0); err != nil {
		return fmt.Errorf("stop thread %d: %w", t.tid, err)
	}
	return nil
}

// nextStop waits until the thread has stopped, and returns why.
func (t *tracer) nextStop() (status int, err error) {
	for {
		// WNOWAIT leaves its end to whoever waits for the process.
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, t.tid, &info, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT|unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, os.NewSyscallError("waitid", err)
		case info.Code != childTrapped && info.Code != childStopped:
			return 0, fmt.Errorf("thread %d ended while its calls were counted", t.tid)
		default:
			return statusOf(&info), nil
		}
	}
}

// call returns the number of the system call at which the thread has stopped, and
// whether it is about to make it.
func (t *tracer) call() (number uint64, entered bool, err error) {
	// struct ptrace_syscall_info of <linux/ptrace.h>, to the number of the call.
	var info struct {
		op                 uint8
		_                  [3]uint8
		arch               uint32
		instruction, stack uint64
		number             uint64
		_                  [56]byte
	}
	err = ptrace(unix.PTRACE_GET_SYSCALL_INFO, t.tid, unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)))
	return info.number, info.op == unix.PTRACE_SYSCALL_INFO_ENTRY, err
}

func ptrace(request, tid int, address, data uintptr) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), address, data, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("ptrace", errno)
	}
	return nil
}

// statusOf returns si_status: of a trap, the signal and above it the event.
func statusOf(info *unix.Siginfo) int {
	const offset = 24 // on all 64-bit architectures: after si_pid and si_uid
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(info), offset)))
}

// nameOf returns the name of a system call that the ends make, and "" for those
// that Go's runtime makes on its own account: to hand a thread's work to another
// while it is blocked, or to return from a signal that was to interrupt it. There
// are more of these while a thread is followed, which makes it slow.
func nameOf(call uint64) string {
	const pollOnAMD64 = 7 // others have ppoll only, and package unix no name for it
	switch {
	case call == unix.SYS_READ:
		return "read"
	case call == unix.SYS_WRITE:
		return "write"
	case call == unix.SYS_FLOCK:
		return "flock"
	case call == unix.SYS_IOCTL:
		return "ioctl"
	case call == unix.SYS_PPOLL, call == pollOnAMD64 && runtime.GOARCH == "amd64":
		return "poll"
	}
	return ""
}
