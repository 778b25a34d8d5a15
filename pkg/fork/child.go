package fork

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// Role is the part of the program that a child runs. It gets the arguments given
// to [Command] and returns the exit code of the child.
//
// The context is cancelled when the parent has died, and for no other reason. The
// role should then return. If it has not done so a second later, because it sits
// in a system call that nothing interrupts, say, the process exits with code 143,
// as if ended by SIGTERM: a reader must not go on taking messages for a server
// that no longer exists.
type Role func(ctx context.Context, args []string) int

// Roles maps the names that [Command] takes to what they run.
type Roles map[string]Role

// Dispatch makes main the entry point of all roles. Call it before anything else
// in main: before flags are parsed, files opened or goroutines started.
//
// In a process started by [Command] it runs the role and exits with the role's
// code; it never returns. A role that this program does not have is reported on
// standard error, with exit code 2. In any other process it returns at once.
//
// In a child it also arranges for the following:
//   - SIGTERM, SIGINT and SIGHUP do nothing while the parent lives (see the
//     package documentation).
//   - Writing to a pipe that nobody reads returns EPIPE on every descriptor. By
//     default Go lets SIGPIPE end the process when it is standard output or
//     standard error (os/signal, SIGPIPE), and nobody would learn what was lost.
//   - os.Args holds the program's name and the role's arguments, and the process
//     carries the program's name in ps(1) and top(1).
func Dispatch(roles Roles) {
	t, child := parseTitle(os.Args[0])
	if !child {
		return
	}
	os.Args[0] = t.program
	role, ok := roles[t.role]
	if !ok {
		fmt.Fprintf(os.Stderr, "%s: no role %q in this program: add it to fork.Dispatch\n", t.program, t.role)
		os.Exit(2)
	}

	// execve names a process after the file executed, which is "exe" here. The
	// file comm stands for the first thread, whereas PR_SET_NAME would name the
	// thread that happens to run this goroutine. It is only a name: the child
	// works without, and without /proc.
	_ = os.WriteFile("/proc/self/comm", []byte(t.program), 0)

	// dup2 cleared close-on-exec when it gave the inherited descriptors their
	// numbers. Linux 5.11 and later can set it again for all of them.
	_ = unix.CloseRange(uint(FD(0)), math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)

	// Caught, and the channel left alone, rather than ignored: an ignored signal
	// stays ignored across execve, in programs that know nothing of it.
	signal.Notify(make(chan os.Signal, 1), unix.SIGINT, unix.SIGHUP, unix.SIGPIPE)

	os.Exit(role(untilOrphaned(t.parent), os.Args[1:]))
}
