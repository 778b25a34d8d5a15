package proc

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// Threads returns the ids of a process's threads.
func Threads(pid int) ([]int, error) {
	threads, err := procfs.AllThreads(pid)
	if err != nil {
		return nil, err
	}
	tids := make([]int, len(threads))
	for i, t := range threads {
		tids[i] = t.PID
	}
	return tids, nil
}

// Thread is what a thread was doing at one look.
type Thread struct {
	PID, ID int
	// State is the letter that ps(1) shows: R runs or could run, S sleeps until
	// something happens or a signal comes.
	State string
	// Call is the system call that it sleeps in, such as "read(fd 3)", the number
	// being the first argument; empty where the kernel does not tell.
	Call string
	// Where is the kernel function that it sleeps in, its wait channel; empty
	// where the kernel does not tell. The names are not a promise: reading a
	// pipe has slept in pipe_wait, pipe_read and anon_pipe_read.
	Where string
}

// ErrHidden is why a sleeping thread has no Where.
var ErrHidden = errors.New("/proc/PID/task/TID/wchan is 0: the kernel was built without symbols, or lets only a tracer look (ptrace access, CAP_SYS_PTRACE)")

// AsleepIn reports whether it sleeps in a call ("read", "write") on a pipe's
// descriptor, as far as the kernel tells.
func (t Thread) AsleepIn(call string, fd int) bool {
	switch {
	case t.State != "S":
		return false
	case t.Call != "":
		return t.Call == fmt.Sprintf("%s(fd %d)", call, fd)
	case t.Where != "":
		return strings.Contains(t.Where, "pipe_")
	}
	return true
}

// LookAt looks at a thread of a process. A blocked system call of a Go program
// blocks a thread, while others of the process go on.
func LookAt(pid, tid int) (Thread, error) {
	t := Thread{PID: pid, ID: tid}
	p, err := procfs.NewProc(pid)
	if err != nil {
		return t, err
	}
	thread, err := p.Thread(tid)
	if err != nil {
		return t, err
	}
	dir := fmt.Sprintf("/proc/%d/task/%d/", pid, tid)
	before, err := readStatus(dir + "status")
	t.State = before.state
	if err != nil || t.State != "S" {
		return t, err
	}
	// First the call: since Linux 6.12 a thread that falls asleep may stay on
	// the run queue for a while (delayed dequeue), and has no wait channel until
	// it has left it. Looking at its call takes it off (wait_task_inactive).
	t.Call = currentCall(dir)
	t.Where, _ = thread.Wchan() // empty also where the kernel writes 0: awake, or hidden
	// The files are not read at one moment. What was seen belongs together if
	// the thread has slept all the time.
	after, err := readStatus(dir + "status")
	if err != nil || after.state != "S" || after.switches != before.switches {
		return Thread{PID: pid, ID: tid, State: "R"}, err // it was awake in between
	}
	return t, nil
}

// currentCall reads /proc/PID/task/TID/syscall (proc_pid_syscall(5)), which procfs
// does not know: number and arguments, where the caller may look and the thread is
// blocked.
func currentCall(dir string) string {
	text, err := os.ReadFile(dir + "syscall")
	if err != nil {
		return ""
	}
	return parseCall(string(text))
}

func parseCall(text string) string {
	var number, first int64
	if _, err := fmt.Sscanf(text, "%d 0x%x", &number, &first); err != nil {
		return ""
	}
	switch number {
	case unix.SYS_READ:
		return fmt.Sprintf("read(fd %d)", first)
	case unix.SYS_WRITE:
		return fmt.Sprintf("write(fd %d)", first)
	}
	return fmt.Sprintf("system call %d", number)
}
