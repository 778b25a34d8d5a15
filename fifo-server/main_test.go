package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/internal/suitetest"
	"example.com/ipcsuite/pkg/fork"
)

// The chapter runs pipe-demo too.
func TestMain(m *testing.M) {
	os.Exit(suitetest.Main(m, "fifo-server", "fifo-client", "pipe-demo"))
}

func TestScripts(t *testing.T) {
	t.Parallel()
	suitetest.Scripts(t, testscript.Params{Setup: func(env *testscript.Env) error {
		env.Setenv("FIFO", filepath.Join(env.Getenv("IPC_DIR"), contract.FIFOName))
		return nil
	}})
}

func startServer(t *testing.T, dir string, args ...string) *suitetest.Process {
	t.Helper()
	return suitetest.Start(t, dir, "fifo-server", args...)
}

// newServer starts a server in a folder of its own.
func newServer(t *testing.T, args ...string) (dir string, server *suitetest.Process) {
	t.Helper()
	dir = suitetest.Dir(t)
	return dir, startServer(t, dir, args...)
}

// newPair starts a server and a client. A first message has come through.
func newPair(t *testing.T, args ...string) (dir string, server, client *suitetest.Process) {
	t.Helper()
	dir, server = newServer(t, args...)
	return dir, server, connect(t, dir, server)
}

// connect starts a client whose first message the server has printed when it returns.
func connect(t *testing.T, dir string, server *suitetest.Process) (client *suitetest.Process) {
	t.Helper()
	client = startClient(t, dir)
	client.Send("hello")
	expectMessage(t, server, "hello")
	return client
}

// startClient starts a client that waits for its server.
func startClient(t *testing.T, dir string, args ...string) *suitetest.Process {
	t.Helper()
	return suitetest.Start(t, dir, "fifo-client", append([]string{"--wait", suitetest.Limit.String()}, args...)...)
}

// eofLine is what each reader prints at the end.
const eofLine = "read end of file, client quit, server quit too"

var messageLine = regexp.MustCompile(`^\[ (\d+) \] client say : (.*)$`)

// expectMessage checks that the next line is this message, and returns its reader's pid.
func expectMessage(t *testing.T, server *suitetest.Process, text string) (pid int) {
	t.Helper()
	line := server.Line()
	m := messageLine.FindStringSubmatch(line)
	if m == nil || m[2] != text {
		t.Fatalf("stdout is %.80q, want message %.80q; stderr:\n%s", line, text, server.Stderr)
	}
	pid, _ = strconv.Atoi(m[1])
	return pid
}

// expectRest checks that what is left of stdout are these messages and the end of file
// of each reader, in any order.
func expectRest(t *testing.T, server *suitetest.Process, readers int, messages ...string) {
	t.Helper()
	want := slices.Repeat([]string{eofLine}, readers)
	for _, text := range messages {
		want = append(want, "[ PID ] client say : "+text)
	}
	var got []string
	for line := range strings.Lines(server.Rest()) {
		got = append(got, messageLine.ReplaceAllString(strings.TrimSuffix(line, "\n"), "[ PID ] client say : $2"))
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(got) != len(want) {
		t.Errorf("%d lines, want %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("when sorted, line %d is %.80q, want %.80q", i+1, got[i], want[i])
		}
	}
}

// awaitReaders waits until the server has n readers, all blocked in read(2) on the FIFO,
// and returns their pids.
func awaitReaders(t *testing.T, server *suitetest.Process, n int) (pids []int) {
	t.Helper()
	awake := func(pid int) bool { return !suitetest.SleepsIn(pid, unix.SYS_READ, fork.FD(0)) }
	suitetest.Eventually(t, fmt.Sprintf("%d readers block in read(2)", n), func() bool {
		pids = suitetest.Children(server.PID())
		return len(pids) == n && !slices.ContainsFunc(pids, awake)
	})
	return pids
}

// number returns the number in parentheses of what matches the pattern in text.
func number(t *testing.T, text, pattern string) int {
	t.Helper()
	n, err := strconv.Atoi(suitetest.Find(t, text, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// expectServes checks that another server can start in dir, serves, and leaves nothing.
func expectServes(t *testing.T, dir string, takesOver bool) {
	t.Helper()
	s := startServer(t, dir)
	startClient(t, dir, "still alive?").Ends(0)
	expectRest(t, s, 3, "still alive?")
	if text := s.Exit(0); strings.Contains(text, "took over") != takesOver {
		t.Errorf("took over: want %v; it said:\n%s", takesOver, text)
	}
	suitetest.Clean(t, dir, s)
}
