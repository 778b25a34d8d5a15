package main

import (
	"fmt"
	"syscall"
	"testing"

	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/internal/suitetest"
	"example.com/ipcsuite/pkg/sysv"
)

// newUnguardedServer starts a server without access control, and attaches its
// segment as a client that may stop at any byte. The server sees what is in the
// segment only by looking, and each text is written when it has shown the one
// before: nothing here is left to luck.
func newUnguardedServer(t *testing.T, args ...string) (dir string, server *suitetest.Process, slot *sysv.Segment) {
	t.Helper()
	dir, server = newServer(t, append(args, "--sync", "none")...)
	return dir, server, attach(t, dir)
}

// shows waits until a server without access control prints a text that stays in
// the segment. Before it there may be others that are torn, as the reading of
// any change can be.
func shows(t *testing.T, server *suitetest.Process, want string) {
	t.Helper()
	for line := server.Line(); line != want; line = server.Line() {
		if _, _, _, whole := contract.Number([]byte(line)); whole {
			t.Fatalf("printed %q, want %q", line, want)
		}
	}
}

// store writes to the segment, whether or not anybody reads it.
func store(t *testing.T, slot *sysv.Segment, text string, offset int) {
	t.Helper()
	if _, err := slot.WriteAt([]byte(text), int64(offset)); err != nil {
		t.Fatal(err)
	}
}

func TestReaderWithoutAccessControlSeesWhatIsThere(t *testing.T) {
	dir, server, slot := newUnguardedServer(t)
	gate := openGate(t, dir)

	store(t, slot, "#1 hello #1\x00", 0)
	shows(t, server, "#1 hello #1")
	store(t, slot, "#2 wo", 0) // half of it
	shows(t, server, "#2 wollo #1")
	store(t, slot, "rld #2\x00", 5) // and the rest
	shows(t, server, "#2 world #2")
	store(t, slot, "#5 later #5\x00", 0) // 3 and 4 were overwritten
	shows(t, server, "#5 later #5")
	store(t, slot, "#2 world #2\x00", 0)
	shows(t, server, "#2 world #2")
	store(t, slot, "no number\x00", 0)
	shows(t, server, "no number")
	gate.Close()
	log := server.Ends(0)
	suitetest.Contains(t, log, "the client has left", "torn: the writer was half-way", "lost=2 repeated=", " whole=4")
	suitetest.Clean(t, dir)
}

func TestTextThatFillsTheSegment(t *testing.T) {
	_, server, slot := newUnguardedServer(t, "--size", "4", "--keep-alive")
	store(t, slot, "abc", 0)
	shows(t, server, "abc")
	store(t, slot, "d", 3) // no NUL byte any more
	shows(t, server, "abcd")
	store(t, slot, "quit", 0)
	shows(t, server, "quit")
	server.Ends(0)
}

// The client is held up in the middle of a message, for good.
func TestTornClientStopsHalfWay(t *testing.T) {
	for _, leaves := range []string{"client", "server"} {
		t.Run("until the "+leaves+" leaves", func(t *testing.T) {
			dir, server := newServer(t, "--sync", "none")
			client := suitetest.Start(t, dir, "shm-client", "--sync", "none", "--torn", "--pause", "1h", "hello")
			shows(t, server, "#1 he")
			if leaves == "client" {
				client.Signal(syscall.SIGINT)
				suitetest.Contains(t, client.Ends(128+2), "messages not delivered: 1 of 1", "SIGINT")
				suitetest.Contains(t, server.Ends(0), "lost=0 repeated=", " whole=0", "torn: the writer was half-way")
			} else {
				server.Signal(syscall.SIGTERM)
				suitetest.Contains(t, server.Ends(128+15), " whole=0", "torn: the writer was half-way")
				suitetest.Contains(t, client.Ends(1), "the server has gone")
			}
			suitetest.Clean(t, dir)
		})
	}
}

func TestGateKeepsTornWritesFromTheReader(t *testing.T) {
	const n = 300
	dir, server := newServer(t, "--sync", "fifo")
	client := suitetest.Start(t, dir, "shm-client", "--torn", "--pause", "0s")
	var lines []byte
	for i := range n {
		lines = fmt.Appendf(lines, "message %d\n", i+1)
	}
	feed(client, lines)
	for i := range n {
		server.Prints(fmt.Sprintf("#%[1]d message %[1]d #%[1]d", i+1))
	}
	client.Ends(0)
	suitetest.Contains(t, server.Ends(0), fmt.Sprintf("numbered messages lost=0 repeated=0 torn=0 whole=%d\n", n))
	suitetest.Clean(t, dir)
}

// Where the reader must wait, the writer stopped half-way keeps its turn.
func TestGateHoldsWhileTheClientIsHalfWay(t *testing.T) {
	dir, server := newServer(t)
	client := suitetest.Start(t, dir, "shm-client", "--torn", "--pause", "1h", "hello")
	server.Await("a client has come")
	awaitText(t, dir, "#1 he")
	client.Signal(syscall.SIGINT)
	suitetest.Contains(t, client.Ends(128+2), "messages not delivered: 1 of 1")
	suitetest.Contains(t, server.Ends(0), "the client has left messages=0") // and nothing was printed
	suitetest.Clean(t, dir)
}

// awaitText waits until the segment begins with a text.
func awaitText(t *testing.T, dir, text string) {
	t.Helper()
	slot := attach(t, dir)
	defer slot.Detach()
	buf := make([]byte, len(text))
	suitetest.Eventually(t, fmt.Sprintf("the segment begins with %q", text), func() bool {
		if _, err := slot.ReadAt(buf, 0); err != nil {
			t.Fatal(err)
		}
		return string(buf) == text
	})
}

// While the server cannot look, two messages are written: of the first nothing
// is left.
func TestClientThatDoesNotAskOverwrites(t *testing.T) {
	dir, server := newServer(t, "--sync", "none")
	client := suitetest.Start(t, dir, "shm-client", "--sync", "none")
	client.Send("one")
	shows(t, server, "#1 one #1")
	server.Stop()
	client.Send("two", "three")
	client.Ends(0)
	server.Signal(syscall.SIGCONT)
	shows(t, server, "#3 three #3")
	suitetest.Contains(t, server.Ends(0), "read without access control reads=", "lost=1 repeated=", " whole=2")
	suitetest.Clean(t, dir)
}

func TestQuitEndsTheServerWithoutAccessControl(t *testing.T) {
	dir, server := newServer(t, "--sync", "none", "--keep-alive")
	suitetest.Start(t, dir, "shm-client", "--sync", "none", "quit").Ends(0)
	shows(t, server, "#1 quit #1")
	suitetest.Contains(t, server.Ends(0), "whole=1")
	suitetest.Clean(t, dir)
}

func TestSignalEndsTheServerWithoutAccessControl(t *testing.T) {
	dir, server, slot := newUnguardedServer(t, "--keep-alive")
	store(t, slot, "hello\x00", 0)
	shows(t, server, "hello")
	server.Signal(syscall.SIGINT)
	suitetest.Contains(t, server.Ends(128+2), "ended by signal SIGINT", "numbered messages lost=0 repeated=0 torn=0 whole=0")
	suitetest.Clean(t, dir)
}

// A client that asks gets its turn at once, and is told of by the server.
func TestClientThatAsksWhereNobodyAnswers(t *testing.T) {
	dir, server := newServer(t, "--sync", "none", "--keep-alive")
	suitetest.Start(t, dir, "shm-client", "one", "two").Ends(0)
	server.Await("give it --sync none too")
	server.Signal(syscall.SIGTERM)
	server.Exit(128 + 15)
	suitetest.Clean(t, dir)
}
