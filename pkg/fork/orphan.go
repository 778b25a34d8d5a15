package fork

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
)

// grace is how long a role has to return after its parent has died.
const grace = time.Second

// untilOrphaned returns a context that is cancelled when the process parent has
// died, and makes sure that this process then ends.
func untilOrphaned(parent int) context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	term := make(chan os.Signal, 1)
	signal.Notify(term, unix.SIGTERM)
	go func() {
		// An orphan is given its new parent before the parent-death signal is
		// sent, so one look after each signal is enough. The look before the
		// first is for a parent that died before Notify. A signal that finds the
		// channel full is not lost: the look that follows comes after it.
		for unix.Getppid() == parent {
			<-term
		}
		cancel(fmt.Errorf("parent process %d has died", parent))
		time.Sleep(grace)
		os.Exit(128 + int(unix.SIGTERM))
	}()
	return ctx
}
