package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/suitetest"
)

// process is a server or client whose stdout is collected.
type process struct {
	*suitetest.Process
	stdout *suitetest.Output
}

// projID keeps the keys of the campaign's segments apart from those that other tests
// may have at the time: of two folders, the keys are the same more often than one
// would think.
const projID = 0x5c

// start starts a program. Its environment, and that of all that it starts, has the mark.
func start(t *testing.T, mark, dir string, args ...string) *process {
	t.Helper()
	p := launch(t, mark, dir, args...)
	return &process{p, suitetest.Collect(p.Stdout)}
}

// launch is start without collecting stdout.
func launch(t *testing.T, mark, dir string, args ...string) *suitetest.Process {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), fmt.Sprint("IPC_PROJ_ID=", projID), mark)
	return suitetest.StartCmd(t, dir, cmd)
}

// tryFeed writes to stdin what it takes now. It fails with EAGAIN if that is
// nothing, and with EPIPE when the process has gone.
func (p *process) tryFeed(text []byte) (n int, err error) {
	raw, err := p.Stdin.SyscallConn()
	if err != nil {
		return 0, err
	}
	ctlErr := raw.Write(func(fd uintptr) bool {
		n, err = unix.Write(int(fd), text)
		return true
	})
	return max(n, 0), errors.Join(ctlErr, err)
}

// victim is a process that a fault is meant for: by a descriptor, as its number may
// be another's by the time of the fault.
type victim struct{ pid, fd int }

// aim returns the process of that pid as a victim if, once it is held by a
// descriptor, it is still the one that was meant.
func aim(pid int, meant func() bool) []victim {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil
	}
	if !meant() {
		unix.Close(fd)
		return nil
	}
	return []victim{{pid, fd}}
}

// hit sends the signal, and reports whether there was somebody to get it. It
// returns when SIGKILL has done its work.
func (v victim) hit(sig syscall.Signal) bool {
	if unix.PidfdSendSignal(v.fd, sig, nil, 0) != nil {
		return false
	}
	for sig == unix.SIGKILL {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(v.fd), Events: unix.POLLIN}}, -1)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return true
}

// self is p itself.
func (p *process) self() []victim {
	return aim(p.PID(), func() bool {
		select {
		case <-p.Reaped():
			return false
		default:
			return true
		}
	})
}

// children are the processes that p has started, in the order of their pids.
func (p *process) children() (found []victim) {
	for _, pid := range suitetest.Children(p.PID()) {
		found = append(found, aim(pid, func() bool { return slices.Contains(suitetest.Children(p.PID()), pid) })...)
	}
	return found
}

// descriptors returns how many descriptors a process has open, -1 if it has
// gone.
func descriptors(pid int) int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return -1
	}
	return len(entries)
}
