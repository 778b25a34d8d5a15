package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"example.com/ipcsuite/internal/suitetest"
)

func TestServerKilledWithAMessagePending(t *testing.T) {
	dir, server, client := newPair(t)
	server.Stop()
	client.Send("two")
	awaitTokens(t, dir, 1)
	server.Kill()
	suitetest.Contains(t, client.Ends(1), "the server has gone", "messages not delivered: 1 of 2")
}

// What a client takes for delivered is printed, however its server ends: one that
// is killed while it prints has not taken the message.
func TestServerKilledWhileItPrints(t *testing.T) {
	dir, server := newServer(t)
	client, line := fillStdout(t, dir, server)
	server.Kill() // before anything is read, which would let it print
	printed := strings.Count(server.Rest(), line+"\n")
	lost, sent := 0, 0
	if _, err := fmt.Sscanf(client.Await(`messages not delivered: (\d+ of \d+)`), "%d of %d", &lost, &sent); err != nil {
		t.Fatal(err)
	}
	if sent-lost != printed {
		t.Errorf("%d of %d messages are said not to be delivered, and %d are printed", lost, sent, printed)
	}
	client.Ends(1)
}

func TestNextServerTakesOverFromAKilledOne(t *testing.T) {
	dir, server, client := newPair(t)
	client.Stop() // it stays, and has the old segment attached
	server.Kill()

	next := suitetest.Start(t, dir, "shm-server")
	next.Await("removed a segment that a dead server had left")
	next.Await("took over a FIFO that a dead server had left")
	next.Await("waiting for a client")
	suitetest.Start(t, dir, "shm-client", "to the second", "quit").Ends(0)
	next.Prints("to the second", "quit")
	next.Ends(0)
	client.Signal(syscall.SIGCONT)
	client.Await("the server has gone")
	client.Ends(1)
	suitetest.Clean(t, dir)
}

func TestNextClientGoesOnAfterAKilledOne(t *testing.T) {
	dir, server, client := newPair(t, "--keep-alive")
	client.Kill()
	suitetest.Start(t, dir, "shm-client", "two", "quit").Ends(0)
	server.Prints("two", "quit")
	server.Ends(0)
}

func TestKilledClientIsOneThatHasLeft(t *testing.T) {
	dir, server, client := newPair(t)
	client.Kill()
	suitetest.Contains(t, server.Ends(0), "the client has left")
	suitetest.Clean(t, dir)
}

func TestStreamingClientKilled(t *testing.T) {
	for name, lines := range map[string][]string{"before it has sent anything": nil, "in mid-stream": {"hello", "world"}} {
		t.Run(name, func(t *testing.T) {
			dir, server := newServer(t, "--stream")
			client := suitetest.Start(t, dir, "shm-client", "--stream", "--log-level", "debug")
			client.Await("attached segment")
			if lines != nil {
				client.Send(lines...)
			}
			server.Prints(lines...)
			client.Kill()
			suitetest.Contains(t, server.Ends(1), fmt.Sprintf("the client has gone in mid-stream: %d bytes delivered", 6*len(lines)))
			suitetest.Clean(t, dir)
		})
	}
}

// The bytes that a killed client has put into the ring are delivered.
func TestWhatAKilledClientHasSentIsDelivered(t *testing.T) {
	dir, server, client := newStream(t)
	server.Stop()
	client.Send("last words")
	awaitRing(t, dir, committed, 17)
	client.Kill()
	server.Signal(syscall.SIGCONT)
	server.Prints("last words")
	suitetest.Contains(t, server.Ends(1), "the client has gone in mid-stream: 17 bytes delivered")
	suitetest.Clean(t, dir)
}

func TestStreamingServerKilled(t *testing.T) {
	t.Run("while the client waits for stdin", func(t *testing.T) {
		dir, server, client := newStream(t)
		server.Stop()
		client.Send("more")
		awaitRing(t, dir, committed, 11)
		server.Kill()
		suitetest.Contains(t, client.Await("the server has gone"), "6 bytes delivered of 11 read")
		client.Ends(1)

		next := suitetest.Start(t, dir, "shm-server", "--stream")
		next.Await("removed a segment that a dead server had left")
		next.Await("took over a FIFO that a dead server had left")
		suitetest.Start(t, dir, "shm-client", "--stream", "--wait", "20s").Ends(0)
		next.Ends(0)
		suitetest.Clean(t, dir)
	})
	t.Run("while the client waits for room", func(t *testing.T) {
		_, server, client, _ := fillRing(t)
		server.Kill()
		suitetest.Contains(t, client.Ends(1), "the server has gone", "6 bytes delivered of 1006 read")
	})
}
