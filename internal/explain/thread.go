package explain

import (
	"context"
	"fmt"
	"runtime"

	"example.com/ipcsuite/internal/proc"
)

// Thread says what a thread was doing at one look.
func Thread(t proc.Thread) string {
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

// Waiting looks until a thread of the process sleeps in a call ("read",
// "write") on a pipe's descriptor, and says so. It gives up when ctx is done,
// the process has ended, or the kernel does not tell where threads sleep.
func Waiting(ctx context.Context, pid int, call string, fd int) string {
	for ctx.Err() == nil {
		tids, err := proc.Threads(pid)
		if err != nil {
			return unseen(fmt.Sprintf("process %d: where it waits", pid), err)
		}
		for _, tid := range tids {
			t, err := proc.LookAt(pid, tid)
			switch {
			case err != nil: // the thread has ended
			case tid == pid && t.State == "Z":
				return fmt.Sprintf("process %d: has ended, and is not yet reaped (state Z)", pid)
			case t.State == "S" && t.Call == "" && t.Where == "":
				return unseen(fmt.Sprintf("process %d: where its threads sleep", pid), proc.ErrHidden)
			case t.AsleepIn(call, fd):
				return fmt.Sprintf("process %d: %s", pid, Thread(t))
			}
		}
		runtime.Gosched()
	}
	return fmt.Sprintf("process %d: no thread was seen to sleep in %s(fd %d)", pid, call, fd)
}
