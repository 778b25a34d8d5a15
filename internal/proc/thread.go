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
	ID int
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
	read := func(file string) (string, error) { // procfs knows only wchan of them
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/%s", pid, tid, file))
		return string(text), err
	}
	status, err := read("status")
	state, switches := parseState(status)
	t := Thread{ID: tid, State: state}
	if err != nil || t.State != "S" {
		return t, err
	}
	// First the call: since Linux 6.12 a thread that falls asleep may stay on
	// the run queue for a while (delayed dequeue), and has no wait channel until
	// it has left it. Looking at its call takes it off (wait_task_inactive).
	syscall, _ := read("syscall") // empty where the caller may not look
	t.Call = parseCall(syscall)
	if where, _ := read("wchan"); where != "0" { // awake, or hidden
		t.Where = where
	}
	// The files are not read at one moment. What was seen belongs together if
	// the thread has slept all the time.
	status, err = read("status")
	if s, n := parseState(status); err != nil || s != state || n != switches {
		return Thread{ID: tid, State: "R"}, err // it was awake in between
	}
	return t, nil
}

// parseState reads of proc_pid_status(5), whose state procfs leaves out, the letter of
// the state and how often the thread gave up the processor to wait.
func parseState(status string) (state, switches string) {
	state, _, _ = strings.Cut(field(status, "State"), " ")
	return state, field(status, "voluntary_ctxt_switches")
}

// parseCall reads proc_pid_syscall(5): the call's number and arguments, where the
// thread is blocked.
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
