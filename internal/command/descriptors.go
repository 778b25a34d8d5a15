package command

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// fewest is how many descriptors a program must be able to open to be worth
// starting. Most need a few more, and say so when they do not get them; but the
// Go runtime, which takes two for its poller when that is needed first, ends the
// process with a trace of all its goroutines.
const fewest = 8

// enoughDescriptors fails where the process may not open that many files. If it
// may, the runtime takes its own now.
func enoughDescriptors() error {
	if err := canOpen(fewest); err != nil {
		return fmt.Errorf("%d more descriptors are needed to start: %w", fewest, err)
	}
	time.AfterFunc(time.Hour, func() {}).Stop() // the poller waits for timers too
	return nil
}

func canOpen(n int) error {
	for range n {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			return os.NewSyscallError("eventfd2", err)
		}
		defer unix.Close(fd)
	}
	return nil
}

// whatToDo says so of the limits that any step can meet. What it adds to an
// error begins with a colon.
func whatToDo(err error) string {
	switch {
	case errors.Is(err, unix.EMFILE):
		var limit unix.Rlimit
		_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) // which cannot fail
		return fmt.Sprintf(": this process may have %d: allow more with ulimit -n (RLIMIT_NOFILE)", limit.Max)
	case errors.Is(err, unix.ENFILE):
		return ": the machine has no more (sysctl fs.file-max), or the user no more pipes (fs.pipe-user-pages-hard): end other programs, or raise it"
	}
	return ""
}
