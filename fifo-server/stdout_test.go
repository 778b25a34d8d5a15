package main

import (
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/suitetest"
	"example.com/ipcsuite/pkg/fork"
)

// fillStdout returns a server whose stdout is full, and a client that waits because the
// FIFO is full too. All messages are "yes".
func fillStdout(t *testing.T) (dir string, s, c *suitetest.Process) {
	t.Helper()
	dir, s = newServer(t, "--readers", "2")
	c = startClient(t, dir)
	go func() {
		for lines := strings.Repeat("yes\n", 1000); ; {
			if _, err := c.Stdin.WriteString(lines); err != nil {
				return // it has ended
			}
		}
	}()
	awaitStuck(t, s, c)
	return dir, s, c
}

// awaitStuck waits until nothing moves any more between the client and stdout. It returns
// the pid of the reader that blocks in write(2).
func awaitStuck(t *testing.T, s, c *suitetest.Process) (writer int) {
	t.Helper()
	ledger := fork.FD(1) // a reader holds its lock while it prints
	suitetest.Eventually(t, "one reader blocks in write(2), and the other waits for it", func() bool {
		writing, locking := 0, 0
		for _, pid := range suitetest.Children(s.PID()) {
			if suitetest.SleepsIn(pid, unix.SYS_WRITE, unix.Stdout) {
				writing++
				writer = pid
			}
			if suitetest.SleepsIn(pid, unix.SYS_FCNTL, ledger) {
				locking++
			}
		}
		return writing == 1 && locking == 1
	})
	suitetest.Eventually(t, "the client waits for room", func() bool { return suitetest.SleepsInPoll(c.PID()) })
	return writer
}

func TestStdoutClosedEarlyEndsTheServer(t *testing.T) {
	t.Parallel()
	dir, s, c := newPair(t)
	s.Stdout.Close() // as head -1 does
	c.Send("two")
	said := s.Exit(1)
	suitetest.Find(t, said, "Error .*write to stdout: broken pipe")
	suitetest.Find(t, said, `Error .*messages not printed: 1\n`)
	suitetest.Clean(t, dir, s)
	c.Send("three")
	c.Await("the server has gone: .*messages not delivered: 1 of 3$")
	c.Ends(1)
	expectServes(t, dir, false)
}

func TestStdoutClosedEarlyUnderLoad(t *testing.T) {
	t.Parallel()
	dir, s, c := fillStdout(t)
	s.Line()
	s.Stdout.Close()
	s.Await(`Error .*messages not printed: \d+$`)
	s.Exit(1)
	c.Await(`the server has gone: .*messages not delivered: `)
	c.Ends(1)
	suitetest.Clean(t, dir, s, c)
}

func TestFullDiskEndsTheServer(t *testing.T) {
	t.Parallel()
	dir := suitetest.Dir(t)
	s := suitetest.StartCmd(t, dir, exec.Command("sh", "-c", "exec fifo-server >/dev/full"))
	startClient(t, dir, "hello")
	said := s.Exit(1)
	suitetest.Find(t, said, "Error .*write to stdout: no space left on device")
	suitetest.Find(t, said, `Error .*messages not printed: 1\n`)
	suitetest.Clean(t, dir, s)
}
