package main

import (
	"os"
	"testing"

	"example.com/ipcsuite/internal/suitetest"
)

func TestStdoutClosedEarly(t *testing.T) {
	dir, server, client := newPair(t)
	server.Stdout.Close()
	client.Send("two")
	suitetest.Contains(t, server.Await("broken pipe"), "messages not printed: 1")
	server.Exit(1)
	client.Await("the server has gone")
	client.Ends(1)
	suitetest.Clean(t, dir)
}

func TestStdoutOfAStreamFails(t *testing.T) {
	t.Run("no space", func(t *testing.T) {
		dir := suitetest.Dir(t)
		server := streamTo(t, dir, "/dev/full")
		client := suitetest.Start(t, dir, "shm-client", "--stream")
		client.Send("hello")
		suitetest.Contains(t, server.Await("no space left on device"), "write /dev/stdout", ": 0 bytes delivered")
		server.Exit(1)
		suitetest.Contains(t, client.Await("the server has gone"), ": 0 bytes delivered of 6 read")
		client.Exit(1)
		suitetest.Clean(t, dir)
	})
	t.Run("nobody reads", func(t *testing.T) {
		dir, server, client := newStream(t)
		server.Stdout.Close()
		client.Send("world")
		suitetest.Contains(t, server.Await("broken pipe"), ": 6 bytes delivered")
		server.Exit(1)
		suitetest.Contains(t, client.Await("the server has gone"), "6 bytes delivered of 12 read")
		client.Exit(1)
		suitetest.Clean(t, dir)
	})
}

func TestStdinOfAStreamFails(t *testing.T) {
	dir, server := newServer(t, "--stream")
	client := streamFrom(t, dir, openFile(t, dir))
	suitetest.Contains(t, client.Await("is a directory"), "read /dev/stdin", "0 bytes delivered of 0 read")
	client.Exit(1)
	suitetest.Contains(t, server.Ends(1), "the client has gone in mid-stream: 0 bytes delivered")
}

// openFile opens a file for reading, until the test ends.
func openFile(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}
