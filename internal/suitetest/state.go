package suitetest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Eventually returns once what is so. It looks again and again, as the kernel has no
// event for what it is used for.
func Eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(Limit); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so within %v: %s", Limit, what)
		}
	}
}

// SleepsIn reports whether a thread of the process sleeps in the system call of that
// number, with arguments that begin with these.
func SleepsIn(pid, call int, arguments ...int) bool {
	want := fmt.Sprintf("%d ", call)
	for _, a := range arguments {
		want += fmt.Sprintf("%#x ", a)
	}
	return slices.ContainsFunc(ofThreads(pid, "syscall"), func(text string) bool { return strings.HasPrefix(text, want) })
}

// SleepsInPoll reports whether a thread of the process sleeps in poll(2) without a
// limit.
func SleepsInPoll(pid int) bool {
	const pollOnAMD64 = "7" // other architectures have ppoll only
	return slices.ContainsFunc(ofThreads(pid, "syscall"), func(text string) bool {
		f := strings.Fields(text)
		return len(f) > 3 && (f[0] == pollOnAMD64 && f[3] == "0xffffffff" || f[0] == fmt.Sprint(unix.SYS_PPOLL) && f[3] == "0x0")
	})
}

// Stop stops a process, and returns when all its threads have stopped.
func Stop(t testing.TB, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	Eventually(t, fmt.Sprintf("all threads of process %d have stopped", pid), func() bool { return stopped(pid) })
}

func stopped(pid int) bool {
	threads := ofThreads(pid, "stat")
	running := func(stat string) bool { return !strings.Contains(stat, ") T ") }
	return len(threads) > 0 && !slices.ContainsFunc(threads, running)
}

// ofThreads returns what a file in /proc/PID/task/TID says, for each thread.
func ofThreads(pid int, file string) (texts []string) {
	names, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/%s", pid, file))
	for _, name := range names {
		if text, err := os.ReadFile(name); err == nil { // else the thread has ended
			texts = append(texts, string(text))
		}
	}
	return texts
}

// Children returns the processes that a process has started, in the order of their ids.
func Children(pid int) (pids []int) {
	for _, text := range ofThreads(pid, "children") {
		for _, field := range strings.Fields(text) {
			child, _ := strconv.Atoi(field) // the kernel has written it
			pids = append(pids, child)
		}
	}
	slices.Sort(pids)
	return pids
}

// Marked returns the processes that have the mark, "NAME=value", in the environment with
// which they were started.
func Marked(mark string) (pids []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if HasMark(pid, mark) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// HasMark reports whether the process is one of [Marked].
func HasMark(pid int, mark string) bool {
	environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return slices.Contains(strings.Split(string(environ), "\x00"), mark)
}

// KillMarked kills all processes with the mark. One that is not yet killed may start
// others meanwhile, so it looks until there are none, or [Limit] has passed.
func KillMarked(mark string) {
	end := time.Now().Add(Limit)
	for pids := Marked(mark); len(pids) > 0 && time.Now().Before(end); pids = Marked(mark) {
		for _, pid := range pids {
			SignalMarked(pid, mark, unix.SIGKILL)
		}
	}
}

// SignalMarked sends a signal to a process with the mark. If another process has its id
// by now, that gets none.
func SignalMarked(pid int, mark string, sig syscall.Signal) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if HasMark(pid, mark) {
		_ = unix.PidfdSendSignal(fd, sig, nil, 0) // it may have ended
	}
}
