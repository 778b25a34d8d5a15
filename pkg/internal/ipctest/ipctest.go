// Package ipctest has what the tests of several packages of this module need.
//
//   - [Run] starts a role of the test binary as a process of its own, and a [Child] is
//     talked to by lines (child.go). [Main] makes the test binary ready for that.
//   - Where a thread sleeps, /proc tells: [Blocked], [ThreadsIn] (wait.go).
//   - FIFOs, segments and descriptors, which go when the test ends (place.go).
//
// No test waits for a time to pass. A wait is for an event, and fails after [Limit].
package ipctest

import (
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"example.com/ipcsuite/pkg/fork"
)

// Limit is how long a test waits for what must happen, so that a fault shows as a
// failure and not as a test that hangs.
const Limit = 20 * time.Second

// Main is for TestMain: in a child it runs the role, otherwise the tests of m. It does
// not return.
func Main(m *testing.M, roles fork.Roles) {
	fork.Dispatch(roles)
	// The race detector keeps a process for a second before it exits with 0.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	os.Exit(m.Run())
}

// Must ends the test on an error. It costs nothing without one, also in a benchmark.
func Must(tb testing.TB, err error) {
	if err != nil {
		tb.Helper()
		tb.Fatal(err)
	}
}

// Want checks that an error matches all the targets.
func Want(tb testing.TB, err error, targets ...error) {
	tb.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			tb.Errorf("error is %v, want one that matches %v", err, target)
		}
	}
}

// NoAllocations checks that call does not allocate. AllocsPerRun counts what all
// goroutines allocate, so the test cannot be parallel.
func NoAllocations(tb testing.TB, call func()) {
	tb.Helper()
	if n := testing.AllocsPerRun(2000, call); n != 0 {
		tb.Errorf("%v allocations, want none", n)
	}
}

// Against calls step over and over, until it returns false, while attack is called over
// and over too. It calls cancel after a number of steps, or when the attack has gone on
// for long: then step has to return false, the attack still going on.
func Against(attack, cancel func(), step func(n int) bool) {
	defer cancel()
	var steps atomic.Int32
	ended := Go(func() (n int) {
		for ; step(n); n++ {
			steps.Add(1)
		}
		return n
	})
	watchdog := time.Now().Add(Limit)
	for round := 0; ; round++ {
		if round == 500 || steps.Load() > 30 {
			cancel()
		}
		attack()
		select {
		case <-ended:
			return
		default:
			runtime.Gosched()
		}
		if time.Now().After(watchdog) {
			panic("it does not end, though its context is done")
		}
	}
}
