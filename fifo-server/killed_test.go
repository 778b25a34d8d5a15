package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/internal/suitetest"
)

// The readers of a server that was killed end, and the next start takes over.
func TestKilledServerIsReplaced(t *testing.T) {
	t.Parallel()
	for name, state := range serverStates {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, s := newServer(t, state.args...)
			c := state.reach(t, dir, s)
			s.Kill()
			s.Exit(-1)
			// A reader prints the end of file if it sees that the server's own write
			// end is closed before it sees that the server is dead.
			if rest := strings.ReplaceAll(s.Rest(), eofLine+"\n", ""); rest != "" {
				t.Errorf("stdout is %q", rest)
			}
			expectServes(t, dir, true)
			suitetest.Clean(t, dir, s)
			if c != nil {
				expectGone(c)
			}
		})
	}
}

// A reader prints the message that it takes at the moment when it learns of the server's
// death.
func TestReaderOfAKilledServerPrintsWhatItHasTaken(t *testing.T) {
	t.Parallel()
	for range 5 {
		dir, s, c := newPair(t, "--readers", "1")
		reader := awaitReaders(t, s, 1)[0]
		suitetest.Stop(t, reader)
		c.Send("two")
		suitetest.Eventually(t, "the client has sent it", func() bool { return pendingIn(dir) == len("two") })
		s.Kill()
		kill(t, reader, unix.SIGCONT)
		expectMessage(t, s, "two")
		s.Ends(-1)
		c.Ends(0)
		expectServes(t, dir, true)
		suitetest.Clean(t, dir, s, c)
	}
}

// Nothing interrupts a write(2) to a full pipe, but readers that block there end too.
func TestReadersOfAKilledServerEndAlsoWhenStdoutIsFull(t *testing.T) {
	t.Parallel()
	dir, s, c := fillStdout(t)
	s.Kill()
	s.Exit(-1) // waits for the readers too
	c.Await("the server has gone: .*messages not delivered: ")
	c.Ends(1)
	expectServes(t, dir, true)
	suitetest.Clean(t, dir, s, c)
}

// A client that outlives its server counts what nobody has read.
func TestClientCountsWhatAKilledServerHasNotRead(t *testing.T) {
	t.Parallel()
	dir, s, c := newPair(t)
	// The server is killed first, or it would replace its readers.
	pids := append([]int{s.PID()}, awaitReaders(t, s, 3)...)
	for _, pid := range pids {
		suitetest.Stop(t, pid)
	}
	c.Send("two", "three", "four", "five")
	// The client has sent them when it reads stdin again and stdin is empty.
	suitetest.Eventually(t, "the client waits for a line", func() bool {
		n, err := unix.IoctlGetInt(int(c.Stdin.Fd()), unix.TIOCINQ)
		return err == nil && n == 0 && pendingIn(dir) == len("twothreefourfive")
	})
	for _, pid := range pids {
		kill(t, pid, unix.SIGKILL)
	}
	s.Ends(-1)
	c.EOF()
	c.Await("FIFO .*/" + contract.FIFOName + ": the server has gone: messages not delivered: 4 of 5$")
	c.Ends(1)
	expectServes(t, dir, true)
	suitetest.Clean(t, dir, s, c)
}

func kill(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := unix.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}

// pendingIn returns how many bytes are in the FIFO of a server.
func pendingIn(dir string) int {
	fd, err := unix.Open(filepath.Join(dir, contract.FIFOName), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	defer unix.Close(fd)
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	if err != nil {
		return -1
	}
	return n
}

func TestKilledReaderIsReplaced(t *testing.T) {
	t.Parallel()
	dir, s, c := newPair(t)
	for range 3 {
		victim := awaitReaders(t, s, 3)[0]
		kill(t, victim, unix.SIGKILL)
		s.Await(fmt.Sprintf(`Warning .*a reader was killed messages_lost=0 pid=%d signal=SIGKILL`, victim))
		s.Await(`Notice .*started another reader in its place pid=\d+`)
		if pids := awaitReaders(t, s, 3); slices.Contains(pids, victim) {
			t.Errorf("readers are %v, after %d was killed", pids, victim)
		}
		c.Send("two")
		expectMessage(t, s, "two")
	}
	c.Ends(0)
	s.Prints(eofLine, eofLine, eofLine)
	s.Ends(0)
	suitetest.Clean(t, dir, s, c)
}

// A killed reader loses the messages that it has taken. The server counts them, says so
// and exits with 1. The half line that the reader leaves does not join the next line.
func TestLossWithAKilledReaderIsCounted(t *testing.T) {
	t.Parallel()
	dir, s, c := fillStdout(t)
	victim := awaitStuck(t, s, c)
	kill(t, victim, unix.SIGKILL)
	said := s.Await(fmt.Sprintf(`Warning .*a reader was killed messages_lost=\d+ pid=%d`, victim))
	lost := number(t, said, `messages_lost=(\d+)`)
	if lost == 0 {
		t.Error("no message is said to be lost")
	}
	s.Await("started another reader")
	awaitStuck(t, s, c)
	// The client ends while it is stuck, with one message that it cannot send. Only
	// then stdout is read.
	c.Signal(unix.SIGTERM)
	sent := number(t, c.Exit(128+int(unix.SIGTERM)), `messages not delivered: 1 of (\d+)\n`) - 1
	rest := s.Rest()
	if n := number(t, s.Exit(1), `Error .*messages not printed: (\d+)\n`); n != lost {
		t.Errorf("in the end %d messages are said to be lost, want %d", n, lost)
	}
	whole, parts := 0, 0
	for line := range strings.Lines(rest) {
		m := messageLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		switch {
		case m != nil && m[2] == "yes":
			whole++
		case line == eofLine+"\n" || line == "\n":
		case strings.Count(line, "[") > 1:
			t.Errorf("two lines in one: %q", line)
		default:
			parts++
		}
	}
	if parts > 1 {
		t.Errorf("%d lines are not whole, and one reader was killed", parts)
	}
	if whole > sent || whole+lost < sent {
		t.Errorf("of %d messages, %d are printed, and %d said to be lost", sent, whole, lost)
	}
	suitetest.Clean(t, dir, s, c)
}

func TestKilledClientIsOneThatHasLeft(t *testing.T) {
	t.Parallel()
	dir, s, c := newPair(t)
	c.Kill()
	s.Prints(eofLine, eofLine, eofLine)
	s.Ends(0)
	suitetest.Clean(t, dir, s, c)
	expectServes(t, dir, false)
}
