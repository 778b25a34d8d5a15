package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/internal/suitetest"
	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/pipe"
	"example.com/ipcsuite/pkg/ring"
	"example.com/ipcsuite/pkg/sysv"
)

// At the other end there can be any program that may open the FIFO.

func TestWhatIsNoTokenIsPassedOver(t *testing.T) {
	dir, server := newServer(t, "--keep-alive")
	writeToGate(t, dir, "hi\n")
	suitetest.Contains(t, server.Await("malformed"), "3 bytes in the FIFO")
	suitetest.Start(t, dir, "shm-client", "hello", "quit").Ends(0)
	server.Prints("hello", "quit")
	server.Ends(0)
}

// The article's client writes on without waiting: what it overwrites is lost,
// and counted.
func TestOverwrittenMessagesAreReported(t *testing.T) {
	dir, server := newServer(t, "--keep-alive")
	suitetest.Start(t, dir, "shm-client", "hello").Ends(0)
	server.Prints("hello")
	writeToGate(t, dir, string(make([]byte, 12)))
	suitetest.Contains(t, server.Await("lost"), "messages=2")
	server.Prints("hello")
}

// They count also where the text that is left has no end, and is dropped.
func TestOverwrittenMessagesAreReportedBehindOneWithoutEnd(t *testing.T) {
	dir, server := newServer(t, "--keep-alive", "--size", "8")
	store(t, attach(t, dir), "no NUL..", 0)
	writeToGate(t, dir, string(make([]byte, 12)))
	server.Await("malformed")
	suitetest.Start(t, dir, "shm-client", "hello").Ends(0)
	suitetest.Contains(t, server.Await("lost"), "messages=2")
	server.Prints("hello")
}

// writeToGate writes to the FIFO at once, without asking for a turn.
func writeToGate(t *testing.T, dir, tokens string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, contract.GateName), []byte(tokens), 0); err != nil {
		t.Fatal(err)
	}
}

// A client in another language asks poll(2) whether there is room for a token, from
// its first one on.
func TestOneTokenFillsTheFIFOBeforeAClientComes(t *testing.T) {
	dir, _ := newServer(t)
	gate, err := os.OpenFile(filepath.Join(dir, contract.GateName), os.O_RDONLY|unix.O_NONBLOCK, 0) // no client
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Close()
	if n, err := pipe.Capacity(int(gate.Fd())); err != nil || n != os.Getpagesize() {
		t.Errorf("capacity %d, %v, want %d", n, err, os.Getpagesize())
	}
}

// impostor is a client that streams, and then does what it likes.
type impostor struct {
	segment *sysv.Segment
	gate    *fifo.Writer
	ring    *ring.Writer
}

func newImpostor(t *testing.T, dir string) impostor {
	t.Helper()
	gate, segment := openGate(t, dir), attach(t, dir)
	w, err := ring.NewWriter(segment, gate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return impostor{segment, gate, w}
}

// sends sends a text, and then says of it what it likes.
func (i impostor) sends(t *testing.T, text, end string) {
	t.Helper()
	if _, err := i.ring.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(i.ring.End(), i.ring.Flush()); err != nil {
		t.Fatal(err)
	}
	if end != "" {
		if _, err := i.gate.Write([]byte(end)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestServerComparesWithWhatWasSent(t *testing.T) {
	for _, c := range []struct{ name, end, says string }{
		{"other checksum", "end 6 xxh3 0000000000000000", "the stream has changed on its way: checksum 851d43285ed32c04, and 0000000000000000 when it was sent"},
		{"other length", "end 7 xxh3 851d43285ed32c04", "the stream has changed on its way: 6 bytes came of 7 sent"},
		{"other length, no checksum", "end 5", "the stream has changed on its way: 6 bytes came of 5 sent"},
		{"no end of a stream", "hello", `"hello" is not the end of a stream`},
		{"nothing", "", "the client has gone before it could say what it had sent"},
		{"no token", "end 6 xxh3 851d43285ed32c04", "the client has gone before it could say what it had sent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, server := newServer(t, "--stream")
			client := newImpostor(t, dir)
			client.sends(t, "hello\n", c.end)
			server.Prints("hello")
			if strings.Contains(c.says, "gone") {
				client.gate.Close()
			}
			suitetest.Contains(t, server.Ends(1), c.says, ": 6 bytes delivered")
			suitetest.Clean(t, dir)
		})
	}
}

func TestHostileClient(t *testing.T) {
	for _, c := range []struct{ name, word string }{
		{"more than the ring holds", "\xff\xff\xff\xff\xff\xff\xff\x7f"},
		{"less than has been read", "\x00\x00\x00\x00\x00\x00\x00\x00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, server := newServer(t, "--stream")
			client := newImpostor(t, dir)
			if _, err := client.ring.Write([]byte("hello\n")); err != nil {
				t.Fatal(err)
			}
			server.Prints("hello")
			store(t, client.segment, c.word, committed)
			_, _ = client.gate.Write([]byte{0}) // wakes the server if it sleeps
			suitetest.Contains(t, server.Ends(1), "ring corrupt", ": 6 bytes delivered")
			suitetest.Clean(t, dir)
		})
	}
}

// A server that does not agree does not take the last token.
func TestClientIsToldThatTheServerDoesNotAgree(t *testing.T) {
	dir := suitetest.Dir(t)
	segment := createSegment(t, dir)
	if err := errors.Join(segment.Attach(), ring.Format(segment)); err != nil {
		t.Fatal(err)
	}
	f, err := fifo.Create(context.Background(), filepath.Join(dir, contract.GateName), fifo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	client := suitetest.Start(t, dir, "shm-client", "--stream")
	feed(client, []byte("hello\n"))
	gate, err := f.OpenReader(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r, err := ring.NewReader(segment, gate)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.WriteTo(io.Discard); err != nil {
		t.Fatal(err)
	}
	var packet [fifo.Atomic]byte
	n := 1
	for n == 1 {
		if n, err = gate.Read(packet[:]); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(packet[:n]); got != "end 6 xxh3 851d43285ed32c04" {
		t.Errorf("the client says %q", got)
	}
	_ = errors.Join(r.Close(), gate.Close())
	f.Close()
	suitetest.Contains(t, client.Ends(1), "does not confirm that it is what was sent", "6 bytes delivered of 6 read")
}
