package ipctest

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Go runs call in a goroutine. What it returns comes from the channel.
func Go[T any](call func() T) <-chan T {
	result := make(chan T, 1)
	go func() { result <- call() }()
	return result
}

// Within returns what comes from c.
func Within[T any](tb testing.TB, c <-chan T) T {
	tb.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(Limit):
		tb.Fatalf("nothing has come within %v", Limit)
		panic("unreachable")
	}
}

// Eventually returns once what is so. It looks again and again, as the kernel has no
// event for what it is used for.
func Eventually(tb testing.TB, what string, so func() bool) {
	tb.Helper()
	for end := time.Now().Add(Limit); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("not so within %v: %s", Limit, what)
		}
	}
}

// Blocked runs call in a thread of its own and returns once the kernel says that
// it sleeps in one of the system calls. What call returns comes from the channel.
func Blocked(tb testing.TB, call func() error, in ...int) <-chan error {
	tb.Helper()
	thread := make(chan int)
	result := Go(func() error {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		thread <- unix.Gettid()
		return call()
	})
	tid := <-thread
	Eventually(tb, "the call blocks", func() bool {
		if len(result) > 0 {
			tb.Fatalf("the call did not block, but returned %v", <-result)
		}
		return sleepsIn(os.Getpid(), tid, in)
	})
	return result
}

// ThreadsIn returns how many threads of the process sleep in one of the system calls.
func ThreadsIn(pid int, calls ...int) (n int) {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, task := range tasks {
		if tid, _ := strconv.Atoi(task.Name()); sleepsIn(pid, tid, calls) {
			n++
		}
	}
	return n
}

func sleepsIn(pid, tid int, calls []int) bool {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/syscall", pid, tid))
	number, _, _ := strings.Cut(string(text), " ")
	return slices.ContainsFunc(calls, func(call int) bool { return number == strconv.Itoa(call) })
}

// InPoll is poll(2), which not every architecture has, and ppoll(2).
var InPoll = []int{unix.SYS_PPOLL, sysPoll()}

func sysPoll() int {
	if runtime.GOARCH == "amd64" {
		return 7
	}
	return unix.SYS_PPOLL
}
