package main

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"example.com/ipcsuite/internal/suitetest"
)

func TestClientLeavesWithoutQuit(t *testing.T) {
	dir, server, client := newPair(t)
	client.Ends(0)
	suitetest.Contains(t, server.Ends(0), "the client has left messages=1")
	suitetest.Clean(t, dir)
}

func TestQuitEndsTheServerThatIsKeptAlive(t *testing.T) {
	dir, server := newServer(t, "--keep-alive")
	suitetest.Start(t, dir, "shm-client", "one").Ends(0)
	suitetest.Start(t, dir, "shm-client", "two").Ends(0)
	client := suitetest.Start(t, dir, "shm-client")
	client.Send("three")
	server.Prints("one", "two", "three")
	client.Send("quit")
	server.Prints("quit")
	server.Ends(0)
	client.Ends(0)
	suitetest.Clean(t, dir)
}

func TestTwoClientsAtOnce(t *testing.T) {
	const n = 500
	dir, server := newServer(t)
	clients := map[string]*suitetest.Process{}
	for _, name := range []string{"a", "b"} {
		clients[name] = suitetest.Start(t, dir, "shm-client")
		clients[name].Send("hello") // both are there before one has left
	}
	server.Prints("hello", "hello")
	for name, client := range clients {
		var lines []byte
		for i := range n {
			lines = fmt.Appendf(lines, "%s %d\n", name, i)
		}
		feed(client, lines)
	}
	next := map[string]int{}
	for range 2 * n {
		line := server.Line()
		name, number, _ := strings.Cut(line, " ")
		if number != strconv.Itoa(next[name]) {
			t.Fatalf("printed %q, want number %d of %q", line, next[name], name)
		}
		next[name]++
	}
	for _, client := range clients {
		client.Ends(0)
	}
	server.Ends(0)
	suitetest.Clean(t, dir)
}

func TestOtherClientLearnsAtOnceOfTheEnd(t *testing.T) {
	dir, server, idle := newPair(t)
	suitetest.Start(t, dir, "shm-client", "quit").Ends(0)
	server.Prints("quit")
	server.Ends(0)
	idle.Await("the server has gone") // while it waits for a line
	idle.Ends(1)
}

func TestLongLinesAreRefusedByName(t *testing.T) {
	dir, server := newServer(t)
	client := suitetest.Start(t, dir, "shm-client")
	fits := strings.Repeat("x", 4095)
	lines := []string{fits, fits + "x", strings.Repeat("y", 10<<20), "the rest", "nul\x00byte", "\xff\xfe", "", "carriage return\r", "no newline"}
	feed(client, []byte(strings.Join(lines, "\n")))
	server.Prints(fits, "the rest", "\xff\xfe", "", "carriage return\r", "no newline")
	suitetest.Contains(t, client.Await("line 2"), "4096 bytes, at most 4095")
	suitetest.Contains(t, client.Await("line 3"), "10485760 bytes, at most 4095")
	suitetest.Contains(t, client.Await("line 5"), "NUL byte at offset 3")
	suitetest.Contains(t, client.Ends(1), "messages not sent: 3 of 9")
	server.Ends(0)
}
