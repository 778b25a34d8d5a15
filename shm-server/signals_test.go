package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/suitetest"
)

func TestSignalsEndTheServer(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(unix.SignalName(sig)+" while it waits for a client", func(t *testing.T) {
			dir, server := newServer(t)
			server.Signal(sig)
			suitetest.Contains(t, server.Ends(128+int(sig)), "ended by signal "+unix.SignalName(sig))
			suitetest.Clean(t, dir)
		})
		t.Run(unix.SignalName(sig)+" while it waits for a message", func(t *testing.T) {
			dir, server, client := newPair(t)
			server.Signal(sig)
			server.Ends(128 + int(sig))
			client.Await("the server has gone")
			client.Ends(1)
			suitetest.Clean(t, dir)
		})
	}
}

// A message that is in the mailbox when the server is told to end is printed.
func TestSignalledServerPrintsWhatIsPending(t *testing.T) {
	dir, server := newServer(t, "--keep-alive")
	suitetest.Start(t, dir, "shm-client", "first").Ends(0)
	server.Prints("first")
	server.Stop()
	client := suitetest.Start(t, dir, "shm-client", "last words")
	awaitTokens(t, dir, 1)
	server.Signal(syscall.SIGTERM)
	server.Signal(syscall.SIGCONT)
	server.Prints("last words")
	server.Ends(128 + 15)
	client.Ends(0)
	suitetest.Clean(t, dir)
}

func TestServerWhoseStdoutTakesNothingEndsOnASignal(t *testing.T) {
	dir, server := newServer(t)
	client, _ := fillStdout(t, dir, server)
	server.Signal(syscall.SIGTERM)
	server.Await("ended by signal SIGTERM: messages not printed: ")
	mustLoseMessages(t, dir, server, client)
}

// Nor can it log what it does.
func TestServerWhoseStderrTakesNothingEitherEndsOnASignal(t *testing.T) {
	dir := suitetest.Dir(t)
	server := suitetest.Start(t, dir, "sh", "-c", "exec shm-server 2>&1")
	for !strings.Contains(server.Line(), "in another terminal") {
	}
	client, _ := fillStdout(t, dir, server)
	server.Signal(syscall.SIGTERM)
	mustLoseMessages(t, dir, server, client)
}

func TestSignalsEndTheClient(t *testing.T) {
	t.Run("while it waits for a line", func(t *testing.T) {
		_, _, client := newPair(t, "--keep-alive")
		client.Signal(syscall.SIGINT)
		client.Await("ended by signal SIGINT")
		client.Ends(128 + 2)
	})
	t.Run("while it waits for the server to take a message", func(t *testing.T) {
		dir, server := newServer(t, "--keep-alive")
		server.Stop()
		client := suitetest.Start(t, dir, "shm-client", "one", "two")
		awaitTokens(t, dir, 1)
		client.Signal(syscall.SIGTERM)
		suitetest.Contains(t, client.Ends(128+15), "messages not delivered: ")
		server.Signal(syscall.SIGCONT)
		server.Prints("one")
	})
	t.Run("while it waits for a server", func(t *testing.T) {
		client := suitetest.Start(t, suitetest.Dir(t), "shm-client", "--wait", "1h", "hello")
		client.Await("waiting for a server")
		client.Signal(syscall.SIGHUP)
		suitetest.Contains(t, client.Ends(128+1), "ended by signal SIGHUP")
	})
}

func TestSignalsEndTheStreamingServer(t *testing.T) {
	t.Run("while it waits for a client", func(t *testing.T) {
		dir, server := newServer(t, "--stream")
		server.Signal(syscall.SIGTERM)
		server.Ends(128 + 15)
		suitetest.Clean(t, dir)
	})
	t.Run("while it waits for bytes", func(t *testing.T) {
		dir, server, client := newStream(t)
		server.Signal(syscall.SIGINT)
		suitetest.Contains(t, server.Ends(128+2), "ended by signal SIGINT: 6 bytes delivered")
		suitetest.Contains(t, client.Await("the server has gone"), "6 bytes delivered of 6 read")
		client.Ends(1)
		suitetest.Clean(t, dir)
	})
	t.Run("at full speed", func(t *testing.T) {
		dir := suitetest.Dir(t)
		server := streamTo(t, dir, os.DevNull)
		client := streamFrom(t, dir, openFile(t, "/dev/zero"))
		awaitRing(t, dir, committed, 10<<20)
		server.Signal(syscall.SIGTERM)
		suitetest.Contains(t, server.Await("ended by signal SIGTERM"), "bytes delivered")
		suitetest.Contains(t, client.Await("the server has gone"), "bytes delivered of")
		server.Exit(128 + 15)
		client.Exit(1)
		suitetest.Clean(t, dir)
	})
	t.Run("while stdout takes nothing", func(t *testing.T) {
		dir, server := newServer(t, "--stream")
		client := suitetest.Start(t, dir, "shm-client", "--stream")
		feed(client, noise(10<<20))
		awaitFullStdout(t, server)
		server.Signal(syscall.SIGTERM)
		suitetest.Contains(t, server.Await("ended by signal"), "bytes delivered, and some that stdout has not quite taken")
		server.Exit(128 + 15)
		client.Await("the server has gone")
		client.Exit(1)
		suitetest.Clean(t, dir)
	})
}

func TestSignalsEndTheStreamingClient(t *testing.T) {
	t.Run("while it waits for stdin", func(t *testing.T) {
		dir, server, client := newStream(t)
		client.Signal(syscall.SIGINT)
		suitetest.Contains(t, client.Await("ended by signal SIGINT"), "6 bytes delivered of 6 read")
		client.Ends(128 + 2)
		suitetest.Contains(t, server.Ends(1), "the client has gone in mid-stream: 6 bytes delivered")
		suitetest.Clean(t, dir)
	})
	t.Run("while it waits for room", func(t *testing.T) {
		dir, server, client, text := fillRing(t)
		client.Signal(syscall.SIGTERM)
		suitetest.Contains(t, client.Ends(128+15), "6 bytes delivered of 1006 read")
		server.Signal(syscall.SIGCONT)
		server.Writes(text)
		suitetest.Contains(t, server.Ends(1), "1006 bytes delivered")
		suitetest.Clean(t, dir)
	})
}

// fillStdout starts a client that sends a line so often that the server cannot print any
// more of it, and returns when that is so.
func fillStdout(t *testing.T, dir string, server *suitetest.Process) (client *suitetest.Process, line string) {
	t.Helper()
	client = suitetest.Start(t, dir, "shm-client")
	line = strings.Repeat("x", 4000)
	feed(client, []byte(strings.Repeat(line+"\n", 100))) // more than the pipe that nobody reads can hold
	awaitFullStdout(t, server)
	return client, line
}

// mustLoseMessages waits for the end of a pair whose server was told to end while
// nobody reads what it has printed.
func mustLoseMessages(t *testing.T, dir string, server, client *suitetest.Process) {
	t.Helper()
	client.Await("messages not delivered: ")
	client.Ends(1)
	server.Exit(128 + 15)
	suitetest.Clean(t, dir)
}
