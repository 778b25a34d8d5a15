package explain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

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
	// switches counts how often it gave up the processor to wait.
	switches string
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

func (t Thread) String() string {
	if t.State != "S" {
		return fmt.Sprintf("thread %d is not asleep (state %s)", t.ID, t.State)
	}
	text := fmt.Sprintf("thread %d is asleep (state S)", t.ID)
	if t.Call != "" {
		text += " in " + t.Call
	}
	if t.Where != "" {
		text += ", kernel function " + t.Where
	}
	return text
}

// LookAt looks at a thread of a process in /proc/PID/task/TID. A blocked system
// call of a Go program blocks a thread, while others of the process go on.
func LookAt(pid, tid int) (Thread, error) {
	before, err := status(pid, tid)
	if err != nil || before.State != "S" {
		return before, err
	}
	// First the call: since Linux 6.12 a thread that falls asleep may stay on
	// the run queue for a while (delayed dequeue), and has no wait channel until
	// it has left it. Looking at its call takes it off (wait_task_inactive).
	call := currentCall(pid, tid)
	where, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/wchan", pid, tid))
	// The files are not read at one moment. What was seen belongs together if
	// the thread has slept all the time.
	after, statusErr := status(pid, tid)
	if statusErr != nil || before != after {
		after.State = "R" // it was awake in between
		return after, statusErr
	}
	after.Call = call
	// The kernel writes 0 for a thread that is awake, and for one that we may
	// not look into.
	if err == nil && string(where) != "0" {
		after.Where = string(where)
	}
	return after, nil
}

// currentCall reads /proc/PID/task/TID/syscall: number and arguments, where one
// may look and the thread is blocked.
func currentCall(pid, tid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/syscall", pid, tid))
	if err != nil {
		return ""
	}
	return callIn(string(text))
}

func callIn(text string) string {
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

func status(pid, tid int) (Thread, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/status", pid, tid))
	if err != nil {
		return Thread{}, err
	}
	t := threadIn(string(text))
	t.PID, t.ID = pid, tid
	return t, nil
}

// threadIn parses what a status file tells of a thread.
func threadIn(status string) Thread {
	state, _, _ := strings.Cut(field(status, "State"), " ")
	return Thread{State: state, switches: field(status, "voluntary_ctxt_switches")}
}

// Waiting looks until a thread of the process sleeps in a call ("read",
// "write") on a pipe's descriptor, and says so. It gives up when ctx is done,
// the process has ended, or the kernel does not tell where threads sleep.
func Waiting(ctx context.Context, pid int, call string, fd int) string {
	for ctx.Err() == nil {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			return unseen(fmt.Sprintf("process %d: where it waits", pid), err)
		}
		for _, task := range tasks {
			tid, _ := strconv.Atoi(task.Name())
			t, err := LookAt(pid, tid)
			switch {
			case err != nil: // the thread has ended
			case tid == pid && t.State == "Z":
				return fmt.Sprintf("process %d: has ended, and is not yet reaped (state Z)", pid)
			case t.State == "S" && t.Call == "" && t.Where == "":
				return unseen(fmt.Sprintf("process %d: where its threads sleep", pid), ErrHidden)
			case t.AsleepIn(call, fd):
				return fmt.Sprintf("process %d: %v", pid, t)
			}
		}
		runtime.Gosched()
	}
	return fmt.Sprintf("process %d: no thread was seen to sleep in %s(fd %d)", pid, call, fd)
}

// Disposition says what a process does about a signal, by /proc/PID/status:
// "default", "ignored" or "caught".
func Disposition(pid int, sig unix.Signal) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "", err
	}
	word, err := dispositionIn(string(text), sig)
	if err != nil {
		return "", fmt.Errorf("/proc/%d/status: %w", pid, err)
	}
	return word, nil
}

func dispositionIn(status string, sig unix.Signal) (string, error) {
	for _, mask := range []struct{ name, word string }{{"SigIgn", "ignored"}, {"SigCgt", "caught"}} {
		bits, err := strconv.ParseUint(field(status, mask.name), 16, 64)
		if err != nil {
			return "", fmt.Errorf("%s: %w", mask.name, err)
		}
		if bits&(1<<(sig-1)) != 0 {
			return mask.word, nil
		}
	}
	return "default", nil
}
