package main

import (
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/internal/suitetest"
)

var signals = []syscall.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP}

// serverStates are the states in which a signal, or kill -9, can find a server. Reach
// returns the client that is connected then, if there is one.
var serverStates = map[string]struct {
	args  []string
	reach func(t *testing.T, dir string, s *suitetest.Process) (client *suitetest.Process)
}{
	"waiting for a client": {
		reach: func(t *testing.T, _ string, s *suitetest.Process) *suitetest.Process {
			s.Await("waiting for a client")
			suitetest.Eventually(t, "it waits in poll(2)", func() bool { return suitetest.SleepsInPoll(s.PID()) })
			return nil
		},
	},
	"serving": {
		reach: func(t *testing.T, dir string, s *suitetest.Process) *suitetest.Process {
			c := connect(t, dir, s)
			awaitReaders(t, s, 3)
			return c
		},
	},
	"keep-alive, no client yet": {
		args: []string{"--keep-alive"},
		reach: func(t *testing.T, _ string, s *suitetest.Process) *suitetest.Process {
			s.Await("serving until")
			awaitReaders(t, s, 3)
			return nil
		},
	},
	"keep-alive, idle": {
		args: []string{"--keep-alive"},
		reach: func(t *testing.T, dir string, s *suitetest.Process) *suitetest.Process {
			startClient(t, dir, "hello").Ends(0)
			expectMessage(t, s, "hello")
			awaitReaders(t, s, 3)
			return nil
		},
	},
}

// expectGone checks that a client learns with its next line, the second, that the server
// has gone.
func expectGone(c *suitetest.Process) {
	c.Send("in vain")
	c.Await("the server has gone: .*broken pipe: messages not delivered: 1 of 2$")
	c.Ends(1)
}

// A signal cleans up in every state, and is the exit code.
func TestSignalsEndTheServerInEveryState(t *testing.T) {
	t.Parallel()
	for name, state := range serverStates {
		for _, sig := range signals {
			t.Run(name+", "+unix.SignalName(sig), func(t *testing.T) {
				t.Parallel()
				dir, s := newServer(t, state.args...)
				c := state.reach(t, dir, s)
				s.Signal(sig)
				s.Await("Notice .*ended by signal " + unix.SignalName(sig))
				s.Ends(128 + int(sig))
				if text := s.Stderr.String(); strings.Contains(text, "Error") {
					t.Errorf("it says:\n%s", text)
				}
				suitetest.Clean(t, dir, s)
				if c != nil {
					expectGone(c)
				}
				expectServes(t, dir, false)
			})
		}
	}
}

// Readers that cannot print are ended by force. Every message is accounted for: printed,
// lost with a reader, or left in the FIFO, where the client counts it.
func TestSignalsEndAServerWhoseStdoutIsFull(t *testing.T) {
	t.Parallel()
	for _, sig := range signals {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			t.Parallel()
			dir, s, c := fillStdout(t)
			s.Signal(sig)
			serverLost := number(t, s.Exit(128+int(sig)), `Error .*messages not printed: (\d+)\n`)
			said := c.Ends(1)
			clientLost := number(t, said, `the server has gone: .*messages not delivered: (\d+) of \d+\n`)
			sent := number(t, said, `messages not delivered: \d+ of (\d+)\n`)
			taken := sent - clientLost
			inReaders := serverLost - (clientLost - 1) // the last one was never in the FIFO
			printed := 0
			for line := range strings.Lines(s.Rest()) {
				if m := messageLine.FindStringSubmatch(strings.TrimSuffix(line, "\n")); m != nil && m[2] == "yes" {
					printed++
				}
			}
			// A reader that is killed in the middle of a write may have printed some
			// of the messages that count as lost.
			if printed > taken || printed+inReaders < taken {
				t.Errorf("of %d messages taken, %d are printed, and %d said to be lost", taken, printed, inReaders)
			}
			suitetest.Clean(t, dir, s, c)
			expectServes(t, dir, false)
		})
	}
}

func TestSignalsEndTheClientInEveryState(t *testing.T) {
	t.Parallel()
	for _, sig := range signals {
		t.Run("waiting for a server, "+unix.SignalName(sig), func(t *testing.T) {
			t.Parallel()
			dir := suitetest.Dir(t)
			c := startClient(t, dir, "hello")
			c.Await("waiting for a server")
			c.Signal(sig)
			c.Await("ended by signal " + unix.SignalName(sig))
			c.Ends(128 + int(sig))
			suitetest.Clean(t, dir, c)
		})
		t.Run("blocked in open(2), "+unix.SignalName(sig), func(t *testing.T) {
			t.Parallel()
			dir := suitetest.Dir(t)
			if err := unix.Mkfifo(filepath.Join(dir, contract.FIFOName), 0o600); err != nil {
				t.Fatal(err)
			}
			c := startClient(t, dir, "hello")
			other := startClient(t, dir, "from the other")
			for _, c := range []*suitetest.Process{c, other} {
				suitetest.Eventually(t, "it blocks in open(2)", func() bool { return suitetest.SleepsIn(c.PID(), unix.SYS_OPENAT) })
			}
			c.Signal(sig)
			c.Await("ended by signal " + unix.SignalName(sig))
			c.Ends(128 + int(sig))
			// The other waits on, for a server that comes.
			s := startServer(t, dir)
			expectRest(t, s, 3, "from the other")
			other.Ends(0)
			s.Exit(0)
			suitetest.Clean(t, dir, s, c, other)
		})
		t.Run("waiting for a line, "+unix.SignalName(sig), func(t *testing.T) {
			t.Parallel()
			dir, s, c := newPair(t)
			c.Signal(sig)
			if said := c.Exit(128 + int(sig)); strings.Contains(said, "not delivered") {
				t.Errorf("it says:\n%s", said)
			}
			s.Prints(eofLine, eofLine, eofLine)
			s.Ends(0)
			suitetest.Clean(t, dir, s, c)
		})
		t.Run("waiting for room, "+unix.SignalName(sig), func(t *testing.T) {
			t.Parallel()
			dir, s, c := fillStdout(t)
			c.Signal(sig)
			// The client could not send one. The server has the others.
			said := c.Exit(128 + int(sig))
			sent := number(t, said, "ended by signal "+unix.SignalName(sig)+`: messages not delivered: 1 of (\d+)\n`) - 1
			expectRest(t, s, 2, slices.Repeat([]string{"yes"}, sent)...)
			s.Exit(0)
			suitetest.Clean(t, dir, s, c)
		})
	}
}
