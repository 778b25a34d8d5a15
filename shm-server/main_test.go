package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/internal/suitetest"
	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/pipe"
	"example.com/ipcsuite/pkg/sysv"
)

// The server and the client are tested together here.
func TestMain(m *testing.M) { os.Exit(suitetest.Main(m, "shm-server", "shm-client")) }

func TestScripts(t *testing.T) {
	suitetest.Scripts(t, testscript.Params{
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"segment": makeSegment},
	})
}

// makeSegment is the command "segment SIZE". It makes what a dead server could have
// left, and removes it at the end of the script.
func makeSegment(ts *testscript.TestScript, _ bool, args []string) {
	key, err := sysv.Ftok(ts.Getenv("IPC_DIR"), contract.ProjID)
	ts.Check(err)
	size, err := strconv.Atoi(args[0])
	ts.Check(err)
	segment, err := sysv.Create(key, size, 0o600)
	ts.Check(err)
	ts.Setenv("SHMID", fmt.Sprint(segment.ID()))
	ts.Setenv("KEY", key.String())
	ts.Defer(func() { _ = segment.Remove() })
}

// startServer starts a server, and returns when it serves.
func startServer(t *testing.T, dir string, args ...string) *suitetest.Process {
	t.Helper()
	server := suitetest.Start(t, dir, "shm-server", args...)
	server.Await("in another terminal")
	return server
}

// newServer starts a server in a folder of its own.
func newServer(t *testing.T, args ...string) (dir string, server *suitetest.Process) {
	t.Helper()
	dir = suitetest.Dir(t)
	return dir, startServer(t, dir, args...)
}

// newPair starts a server and a client. A first message has come through, and both
// wait for the second.
func newPair(t *testing.T, args ...string) (dir string, server, client *suitetest.Process) {
	t.Helper()
	dir, server = newServer(t, args...)
	client = suitetest.Start(t, dir, "shm-client")
	client.Send("hello")
	server.Prints("hello")
	awaitTokens(t, dir, 0)
	return dir, server, client
}

// feed writes text to stdin, and then ends it. It does not wait until the process has
// read that: the process may end before.
func feed(p *suitetest.Process, text []byte) {
	go func() {
		_, _ = p.Stdin.Write(text)
		p.EOF()
	}()
}

// awaitTokens waits until the FIFO holds that many tokens.
func awaitTokens(t *testing.T, dir string, want int) {
	t.Helper()
	const size = 4
	gate, err := os.OpenFile(filepath.Join(dir, contract.GateName), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Close() // or a client would not see that its server has gone
	suitetest.Eventually(t, fmt.Sprintf("%d tokens are in the FIFO", want), func() bool {
		bytes, err := pipe.Buffered(int(gate.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		return bytes == want*size
	})
}

// awaitFullStdout waits until the server blocks because nobody reads what it prints.
func awaitFullStdout(t *testing.T, server *suitetest.Process) {
	t.Helper()
	suitetest.Eventually(t, "the server blocks in write(2) to stdout", func() bool {
		return suitetest.SleepsIn(server.PID(), unix.SYS_WRITE, 1)
	})
}

// openGate opens the FIFO as a client does, until the test ends.
func openGate(t *testing.T, dir string) *fifo.Writer {
	t.Helper()
	gate, err := fifo.OpenWriter(context.Background(), filepath.Join(dir, contract.GateName), fifo.NoWait)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gate.Close() })
	return gate
}

// attach attaches the segment of the server. It is detached when the test ends, unless
// the caller has done so.
func attach(t *testing.T, dir string) *sysv.Segment {
	t.Helper()
	key, err := sysv.Ftok(dir, contract.ProjID)
	if err != nil {
		t.Fatal(err)
	}
	segment, err := sysv.Open(key, 0)
	if err == nil {
		err = segment.Attach()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = segment.Detach() })
	return segment
}

// createSegment makes the segment as a server does. It is removed when the test ends.
func createSegment(t *testing.T, dir string) *sysv.Segment {
	t.Helper()
	key, err := sysv.Ftok(dir, contract.ProjID)
	if err != nil {
		t.Fatal(err)
	}
	segment, err := sysv.Create(key, 4096, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = segment.Remove() })
	return segment
}
