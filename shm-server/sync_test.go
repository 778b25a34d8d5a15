package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/sysv"
)

// newUnguardedServer starts a server without access control, and attaches its
// segment as a client that may stop at any byte. The server sees what is in the
// segment only by looking, and each text is written when it has shown the one
// before: nothing here is left to luck.
func newUnguardedServer(t *testing.T, args ...string) (dir string, server *process, slot *sysv.Segment) {
	t.Helper()
	dir, server = newServer(t, append(args, "--sync", "none")...)
	key, err := sysv.Ftok(dir, 306)
	if err != nil {
		t.Fatal(err)
	}
	slot, err = sysv.Open(key, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := slot.Attach(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slot.Detach() })
	return dir, server, slot
}

// shows waits until a server without access control prints a text that stays in
// the segment. Before it there may be others that are torn, as the reading of
// any change can be.
func (p *process) shows(t *testing.T, want string) {
	t.Helper()
	for {
		line, err := p.out.ReadString('\n')
		line = strings.TrimSuffix(line, "\n")
		if line == want {
			return
		}
		if _, _, _, whole := number([]byte(line)); err != nil || whole {
			t.Fatalf("printed %q, %v, want %q", line, err, want)
		}
	}
}

func store(t *testing.T, slot *sysv.Segment, text string, offset int) {
	t.Helper()
	if _, err := slot.WriteAt([]byte(text), int64(offset)); err != nil {
		t.Fatal(err)
	}
}

func TestReaderWithoutAccessControlSeesWhatIsThere(t *testing.T) {
	dir, server, slot := newUnguardedServer(t)
	w, err := fifo.OpenWriter(context.Background(), filepath.Join(dir, fifoName), fifo.NoWait)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()

	store(t, slot, "#1 hello #1\x00", 0)
	server.shows(t, "#1 hello #1")
	store(t, slot, "#2 wo", 0) // half of it
	server.shows(t, "#2 wollo #1")
	store(t, slot, "rld #2\x00", 5) // and the rest
	server.shows(t, "#2 world #2")
	store(t, slot, "#5 later #5\x00", 0) // 3 and 4 were overwritten
	server.shows(t, "#5 later #5")
	store(t, slot, "#2 world #2\x00", 0)
	server.shows(t, "#2 world #2")
	store(t, slot, "no number\x00", 0)
	server.shows(t, "no number")
	w.Close()
	log := server.ends(t, 0)
	contains(t, log, "the client has left", "torn: the writer was half-way", "lost=2 repeated=", " whole=4")
	mustBeClean(t, dir)
}

func TestTextThatFillsTheSegment(t *testing.T) {
	_, server, slot := newUnguardedServer(t, "--size", "4", "--keep-alive")
	store(t, slot, "abc", 0)
	server.shows(t, "abc")
	store(t, slot, "d", 3) // no NUL byte any more
	server.shows(t, "abcd")
	store(t, slot, "quit", 0)
	server.shows(t, "quit")
	server.ends(t, 0)
}

// The client is held up in the middle of a message, for good.
func TestTornClientStopsHalfWay(t *testing.T) {
	for _, leaves := range []string{"client", "server"} {
		t.Run("until the "+leaves+" leaves", func(t *testing.T) {
			dir, server := newServer(t, "--sync", "none")
			client := start(t, dir, "shm-client", "--sync", "none", "--torn", "--pause", "1h", "hello")
			server.shows(t, "#1 he")
			if leaves == "client" {
				client.signal(t, syscall.SIGINT)
				contains(t, client.ends(t, 128+2), "messages not delivered: 1 of 1", "SIGINT")
				contains(t, server.ends(t, 0), "lost=0 repeated=", " whole=0", "torn: the writer was half-way")
			} else {
				server.signal(t, syscall.SIGTERM)
				contains(t, server.ends(t, 128+15), " whole=0", "torn: the writer was half-way")
				contains(t, client.ends(t, 1), "the server has gone")
			}
			mustBeClean(t, dir)
		})
	}
}

func TestGateKeepsTornWritesFromTheReader(t *testing.T) {
	const n = 300
	dir, server := newServer(t, "--sync", "fifo")
	client := start(t, dir, "shm-client", "--torn", "--pause", "0s")
	go func() {
		for i := range n {
			fmt.Fprintf(client.in, "message %d\n", i+1)
		}
		client.in.Close()
	}()
	for i := range n {
		server.prints(t, fmt.Sprintf("#%[1]d message %[1]d #%[1]d", i+1))
	}
	client.ends(t, 0)
	contains(t, server.ends(t, 0), fmt.Sprintf("numbered messages lost=0 repeated=0 torn=0 whole=%d\n", n))
	mustBeClean(t, dir)
}

// Where the reader must wait, the writer stopped half-way keeps its turn.
func TestGateHoldsWhileTheClientIsHalfWay(t *testing.T) {
	dir, server := newServer(t)
	client := start(t, dir, "shm-client", "--torn", "--pause", "1h", "hello")
	server.logs(t, "a client has come")
	awaitText(t, dir, "#1 he")
	client.signal(t, syscall.SIGINT)
	contains(t, client.ends(t, 128+2), "messages not delivered: 1 of 1")
	contains(t, server.ends(t, 0), "the client has left messages=0") // and nothing was printed
	mustBeClean(t, dir)
}

// awaitText waits until a segment holds a text.
func awaitText(t *testing.T, dir, text string) {
	t.Helper()
	key, err := sysv.Ftok(dir, 306)
	if err != nil {
		t.Fatal(err)
	}
	slot, err := sysv.Open(key, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := slot.AttachReadOnly(); err != nil {
		t.Fatal(err)
	}
	defer slot.Detach()
	for buf := make([]byte, len(text)); string(buf) != text; {
		if _, err := slot.ReadAt(buf, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// While the server cannot look, two messages are written: of the first nothing
// is left.
func TestClientThatDoesNotAskOverwrites(t *testing.T) {
	dir, server := newServer(t, "--sync", "none")
	client := start(t, dir, "shm-client", "--sync", "none")
	client.say(t, "one")
	server.shows(t, "#1 one #1")
	stop(t, server)
	client.say(t, "two", "three")
	client.ends(t, 0)
	server.signal(t, syscall.SIGCONT)
	server.shows(t, "#3 three #3")
	contains(t, server.ends(t, 0), "read without access control reads=", "lost=1 repeated=", " whole=2")
	mustBeClean(t, dir)
}

func TestQuitEndsTheServerWithoutAccessControl(t *testing.T) {
	dir, server := newServer(t, "--sync", "none", "--keep-alive")
	start(t, dir, "shm-client", "--sync", "none", "quit").ends(t, 0)
	server.shows(t, "#1 quit #1")
	contains(t, server.ends(t, 0), "whole=1")
	mustBeClean(t, dir)
}

func TestSignalEndsTheServerWithoutAccessControl(t *testing.T) {
	dir, server, slot := newUnguardedServer(t, "--keep-alive")
	store(t, slot, "hello\x00", 0)
	server.shows(t, "hello")
	server.signal(t, syscall.SIGINT)
	contains(t, server.ends(t, 128+2), "ended by signal SIGINT", "numbered messages lost=0 repeated=0 torn=0 whole=0")
	mustBeClean(t, dir)
}

// A client that asks gets its turn at once, and is told of by the server.
func TestClientThatAsksWhereNobodyAnswers(t *testing.T) {
	dir, server := newServer(t, "--sync", "none", "--keep-alive")
	start(t, dir, "shm-client", "one", "two").ends(t, 0)
	server.logs(t, "give it --sync none too")
	server.signal(t, unix.SIGTERM)
	_ = server.cmd.Wait()
	mustBeClean(t, dir)
}
