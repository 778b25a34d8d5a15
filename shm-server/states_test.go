package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/pipe"
	"example.com/ipcsuite/pkg/sysv"
)

// What happens when a process ends, is ended or is killed, in each state. None
// of these tests measures time: what has to happen is waited for.

// newServer starts a server in a folder of its own.
func newServer(t *testing.T, args ...string) (dir string, server *process) {
	t.Helper()
	dir = newDir(t)
	server = start(t, dir, "shm-server", args...)
	server.logs(t, "in another terminal")
	return dir, server
}

func mustBeClean(t *testing.T, dir string) {
	t.Helper()
	if err := clean(dir); err != nil {
		t.Error(err)
	}
}

func TestClientLeavesWithoutQuit(t *testing.T) {
	dir, server := newServer(t)
	client := start(t, dir, "shm-client")
	client.say(t, "hello")
	server.prints(t, "hello")
	client.ends(t, 0)
	contains(t, server.ends(t, 0), "the client has left messages=1")
	mustBeClean(t, dir)
}

func TestQuitEndsTheServerThatIsKeptAlive(t *testing.T) {
	dir, server := newServer(t, "--keep-alive")
	start(t, dir, "shm-client", "one").ends(t, 0)
	start(t, dir, "shm-client", "two").ends(t, 0)
	client := start(t, dir, "shm-client")
	client.say(t, "three")
	server.prints(t, "one", "two", "three")
	client.say(t, "quit")
	server.prints(t, "quit")
	server.ends(t, 0)
	client.ends(t, 0)
	mustBeClean(t, dir)
}

func TestTwoClientsAtOnce(t *testing.T) {
	const n = 500
	dir, server := newServer(t)
	a, b := start(t, dir, "shm-client"), start(t, dir, "shm-client")
	a.say(t, "hello") // both are there before one has left
	b.say(t, "hello")
	server.prints(t, "hello", "hello")
	for name, client := range map[string]*process{"a": a, "b": b} {
		go func() {
			for i := range n {
				fmt.Fprintf(client.in, "%s %d\n", name, i)
			}
			client.in.Close()
		}()
	}
	next := map[string]int{}
	for range 2 * n {
		line, err := server.out.ReadString('\n')
		name, number, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if err != nil || number != strconv.Itoa(next[name]) {
			t.Fatalf("printed %q, %v, want number %d of %q", line, err, next[name], name)
		}
		next[name]++
	}
	a.ends(t, 0)
	b.ends(t, 0)
	server.ends(t, 0)
	mustBeClean(t, dir)
}

func TestOtherClientLearnsAtOnceOfTheEnd(t *testing.T) {
	dir, server := newServer(t)
	idle := start(t, dir, "shm-client")
	idle.say(t, "hello")
	server.prints(t, "hello")
	start(t, dir, "shm-client", "quit").ends(t, 0)
	server.prints(t, "quit")
	server.ends(t, 0)
	idle.logs(t, "the server has gone") // while it waits for a line
	idle.ends(t, 1)
}

func TestSignalsEndTheServer(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(unix.SignalName(sig)+" while it waits for a client", func(t *testing.T) {
			dir, server := newServer(t)
			server.signal(t, sig)
			contains(t, server.ends(t, 128+int(sig)), "ended by signal "+unix.SignalName(sig))
			mustBeClean(t, dir)
		})
		t.Run(unix.SignalName(sig)+" while it waits for a message", func(t *testing.T) {
			dir, server := newServer(t)
			client := start(t, dir, "shm-client")
			client.say(t, "hello")
			server.prints(t, "hello")
			server.signal(t, sig)
			server.ends(t, 128+int(sig))
			client.logs(t, "the server has gone")
			client.ends(t, 1)
			mustBeClean(t, dir)
		})
	}
}

// A message that is in the mailbox when the server is told to end is printed.
func TestSignalledServerPrintsWhatIsPending(t *testing.T) {
	dir, server := newServer(t, "--keep-alive")
	start(t, dir, "shm-client", "first").ends(t, 0)
	server.prints(t, "first")
	stop(t, server)
	client := start(t, dir, "shm-client", "last words")
	awaitPending(t, dir)
	server.signal(t, syscall.SIGTERM)
	server.signal(t, syscall.SIGCONT)
	server.prints(t, "last words")
	server.ends(t, 128+15)
	client.ends(t, 0)
	mustBeClean(t, dir)
}

// fillStdout starts a client that sends a line so often that the server cannot print
// any more of it, and returns when that is so.
func fillStdout(t *testing.T, dir string, server *process) (client *process, line string) {
	t.Helper()
	client = start(t, dir, "shm-client")
	line = strings.Repeat("x", 4000)
	go func() { // more than the pipe that nobody reads can hold
		for range 100 {
			if _, err := fmt.Fprintln(client.in, line); err != nil {
				return
			}
		}
	}()
	for !sleepsIn(t, server, "pipe_write") {
	}
	return client, line
}

// mustLoseMessages waits for the end of a pair of which the server was told to end
// while nobody reads what it has printed.
func mustLoseMessages(t *testing.T, dir string, server, client *process) {
	t.Helper()
	client.logs(t, "messages not delivered: ")
	client.ends(t, 1)
	_ = server.cmd.Wait()
	if code := server.cmd.ProcessState.ExitCode(); code != 128+15 {
		t.Errorf("exit code %d", code)
	}
	mustBeClean(t, dir)
}

func TestServerWhoseStdoutTakesNothingEndsOnASignal(t *testing.T) {
	dir, server := newServer(t)
	client, _ := fillStdout(t, dir, server)
	server.signal(t, syscall.SIGTERM)
	contains(t, server.logs(t, "ended by signal"), "messages not printed: ")
	mustLoseMessages(t, dir, server, client)
}

// Nor can it log what it does.
func TestServerWhoseStderrTakesNothingEitherEndsOnASignal(t *testing.T) {
	dir := newDir(t)
	server := start(t, dir, "sh", "-c", "exec shm-server 2>&1")
	for line := ""; !strings.Contains(line, "in another terminal"); {
		var err error
		if line, err = server.out.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	client, _ := fillStdout(t, dir, server)
	server.signal(t, syscall.SIGTERM)
	mustLoseMessages(t, dir, server, client)
}

func TestStdoutClosedEarly(t *testing.T) {
	dir, server := newServer(t)
	client := start(t, dir, "shm-client")
	client.say(t, "one")
	server.prints(t, "one")
	server.stdout.Close()
	client.say(t, "two")
	contains(t, server.logs(t, "broken pipe"), "messages not printed: 1")
	_ = server.cmd.Wait()
	if code := server.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	client.logs(t, "the server has gone")
	client.ends(t, 1)
	mustBeClean(t, dir)
}

func TestSignalsEndTheClient(t *testing.T) {
	t.Run("while it waits for a line", func(t *testing.T) {
		dir, server := newServer(t, "--keep-alive")
		client := start(t, dir, "shm-client")
		client.say(t, "hello")
		server.prints(t, "hello")
		client.signal(t, syscall.SIGINT)
		client.logs(t, "ended by signal SIGINT")
		client.ends(t, 128+2)
	})
	t.Run("while it waits for the server to take a message", func(t *testing.T) {
		dir, server := newServer(t, "--keep-alive")
		stop(t, server)
		client := start(t, dir, "shm-client", "one", "two")
		awaitPending(t, dir)
		client.signal(t, syscall.SIGTERM)
		contains(t, client.ends(t, 128+15), "messages not delivered: ")
		server.signal(t, syscall.SIGCONT)
		server.prints(t, "one")
	})
	t.Run("while it waits for a server", func(t *testing.T) {
		client := start(t, newDir(t), "shm-client", "--wait", "1h", "hello")
		client.logs(t, "waiting for a server")
		client.signal(t, syscall.SIGHUP)
		contains(t, client.ends(t, 128+1), "ended by signal SIGHUP")
	})
}

func TestServerKilledWithAMessagePending(t *testing.T) {
	dir, server := newServer(t)
	client := start(t, dir, "shm-client")
	client.say(t, "one")
	server.prints(t, "one")
	awaitTaken(t, dir)
	stop(t, server)
	client.say(t, "two")
	awaitPending(t, dir)
	server.kill()
	contains(t, client.ends(t, 1), "the server has gone", "messages not delivered: 1 of 2")
}

// What a client takes for delivered is printed, however its server ends: one that
// is killed while it prints has not taken the message.
func TestServerKilledWhileItPrints(t *testing.T) {
	dir, server := newServer(t)
	client, line := fillStdout(t, dir, server)
	server.signal(t, syscall.SIGKILL)
	if _, err := server.cmd.Process.Wait(); err != nil { // or to read would let it print
		t.Fatal(err)
	}
	text, err := io.ReadAll(server.out)
	if err != nil {
		t.Fatal(err)
	}
	printed := strings.Count(string(text), line+"\n")
	lost, sent := 0, 0
	said := client.logs(t, "messages not delivered: ")
	if _, err := fmt.Sscanf(said[strings.Index(said, "not delivered"):], "not delivered: %d of %d", &lost, &sent); err != nil {
		t.Fatal(err)
	}
	if sent-lost != printed {
		t.Errorf("%d of %d messages are said not to be delivered, and %d are printed", lost, sent, printed)
	}
	client.ends(t, 1)
}

func TestNextServerTakesOverFromAKilledOne(t *testing.T) {
	dir, server := newServer(t)
	client := start(t, dir, "shm-client") // stays, and has the old segment attached
	client.say(t, "to the first")
	server.prints(t, "to the first")
	stop(t, client)
	server.kill()

	next := start(t, dir, "shm-server")
	next.logs(t, "removed a segment that a dead server had left")
	next.logs(t, "took over a FIFO that a dead server had left")
	next.logs(t, "waiting for a client")
	start(t, dir, "shm-client", "to the second", "quit").ends(t, 0)
	next.prints(t, "to the second", "quit")
	next.ends(t, 0)
	client.signal(t, syscall.SIGCONT)
	client.logs(t, "the server has gone")
	client.ends(t, 1)
	mustBeClean(t, dir)
}

func TestNextClientGoesOnAfterAKilledOne(t *testing.T) {
	dir, server := newServer(t, "--keep-alive")
	client := start(t, dir, "shm-client")
	client.say(t, "one")
	server.prints(t, "one")
	client.kill()
	start(t, dir, "shm-client", "two", "quit").ends(t, 0)
	server.prints(t, "two", "quit")
	server.ends(t, 0)
}

func TestKilledClientIsOneThatHasLeft(t *testing.T) {
	dir, server := newServer(t)
	client := start(t, dir, "shm-client")
	client.say(t, "one")
	server.prints(t, "one")
	client.kill()
	contains(t, server.ends(t, 0), "the client has left")
	mustBeClean(t, dir)
}

func TestSecondServerIsRefused(t *testing.T) {
	dir, server := newServer(t, "--keep-alive")
	pid := fmt.Sprint(server.cmd.Process.Pid)
	contains(t, start(t, dir, "shm-server").ends(t, 1), "live process "+pid)
	t.Run("with another FIFO", func(t *testing.T) {
		other := filepath.Join(dir, "other.fifo")
		contains(t, start(t, dir, "shm-server", "--fifo", other).ends(t, 1), "live process "+pid)
	})
	t.Run("with another key", func(t *testing.T) {
		contains(t, start(t, dir, "shm-server", "--proj-id", "7").ends(t, 1), "live process "+pid)
		key, err := sysv.Ftok(dir, 7)
		if err != nil {
			t.Fatal(err)
		}
		if info, found, err := findKey(key); found || err != nil {
			t.Errorf("a segment is left: %v, %v", info, err)
		}
	})
	start(t, dir, "shm-client", "hello", "quit").ends(t, 0)
	server.prints(t, "hello", "quit")
	server.ends(t, 0)
}

func TestOneOfTwoServersThatStartAtOnce(t *testing.T) {
	for range 10 {
		dir := newDir(t)
		var serving []*process
		for _, p := range []*process{start(t, dir, "shm-server"), start(t, dir, "shm-server")} {
			log := ""
			for !strings.Contains(log, "run shm-client") {
				line, err := p.log.ReadString('\n')
				if log += line; err != nil {
					break
				}
			}
			if strings.Contains(log, "run shm-client") {
				serving = append(serving, p)
				continue
			}
			contains(t, log, "live process")
			p.ends(t, 1)
		}
		if len(serving) != 1 {
			t.Fatalf("%d servers", len(serving))
		}
		start(t, dir, "shm-client", "quit").ends(t, 0)
		serving[0].prints(t, "quit")
		serving[0].ends(t, 0)
		mustBeClean(t, dir)
	}
}

// A server that is another user's is no business of ours.
func TestSegmentOfAnotherUser(t *testing.T) {
	dir := newDir(t)
	key, err := sysv.Ftok(dir, 306)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := sysv.Create(key, 4096, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Remove()
	var d unix.SysvShmDesc
	if _, err := unix.SysvShmCtl(foreign.ID(), unix.IPC_STAT, &d); err != nil {
		t.Fatal(err)
	}
	d.Perm.Uid = 12345 // it is given away, which its maker may do
	if _, err := unix.SysvShmCtl(foreign.ID(), unix.IPC_SET, &d); err != nil {
		t.Fatal(err)
	}
	contains(t, start(t, dir, "shm-server").ends(t, 1), "another user", "choose another --proj-id")

	// To a client, it is not the one that belongs to the FIFO.
	server := start(t, dir, "shm-server", "--proj-id", "7", "--keep-alive")
	server.logs(t, "run shm-client in another terminal")
	contains(t, start(t, dir, "shm-client", "secret").ends(t, 1), "to another user")
	server.signal(t, syscall.SIGTERM)
	server.ends(t, 128+15)
	if _, err := foreign.Stat(); err != nil {
		t.Error(err)
	}
}

// With a mode that lets them, users of a group meet in a folder of the group's.
func TestClientOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: it takes root to be somebody else")
	}
	const nobody = 65534
	dir := newDir(t)
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	other := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	fifo := filepath.Join(dir, "fifo")
	contains(t, startAs(t, other, dir, "shm-server").ends(t, 1), "it belongs to uid 0")
	contains(t, startAs(t, other, dir, "shm-server", "--key-path", dir, "--fifo", fifo).ends(t, 1), "permission denied")

	server := start(t, dir, "shm-server", "--key-path", dir, "--fifo", fifo, "--keep-alive")
	server.logs(t, "run shm-client")
	contains(t, startAs(t, other, dir, "shm-client", "--key-path", dir, "--fifo", fifo, "x").ends(t, 1), "permission denied")
	server.signal(t, syscall.SIGTERM)
	server.ends(t, 128+15)

	server = start(t, dir, "shm-server", "--key-path", dir, "--fifo", fifo, "--mode", "0666")
	server.logs(t, "run shm-client")
	startAs(t, other, dir, "shm-client", "--key-path", dir, "--fifo", fifo, "hello", "quit").ends(t, 0)
	server.prints(t, "hello", "quit")
	server.ends(t, 0)
	mustBeClean(t, dir)
}

func TestWhatIsNoTokenIsPassedOver(t *testing.T) {
	dir, server := newServer(t, "--keep-alive")
	fd, err := unix.Open(filepath.Join(dir, fifoName), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte("hi\n")); err != nil {
		t.Fatal(err)
	}
	contains(t, server.logs(t, "malformed"), "3 bytes in the FIFO")
	start(t, dir, "shm-client", "hello", "quit").ends(t, 0)
	server.prints(t, "hello", "quit")
	server.ends(t, 0)
}

// A client in another language asks poll(2) whether there is room for a token, from
// its first one on.
func TestOneTokenFillsTheFIFOBeforeAClientComes(t *testing.T) {
	dir, _ := newServer(t)
	fd, err := unix.Open(filepath.Join(dir, fifoName), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0) // no client
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if n, err := pipe.Capacity(fd); err != nil || n != os.Getpagesize() {
		t.Errorf("capacity %d, %v, want %d", n, err, os.Getpagesize())
	}
}

// The article's client writes on without waiting: what it overwrites is lost,
// and counted.
func TestOverwrittenMessagesAreReported(t *testing.T) {
	dir, server := newServer(t, "--keep-alive")
	start(t, dir, "shm-client", "hello").ends(t, 0)
	server.prints(t, "hello")
	fd, err := unix.Open(filepath.Join(dir, fifoName), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, make([]byte, 12)); err != nil {
		t.Fatal(err)
	}
	contains(t, server.logs(t, "lost"), "messages=2")
	server.prints(t, "hello")
}

func TestLongLinesAreRefusedByName(t *testing.T) {
	dir, server := newServer(t)
	client := start(t, dir, "shm-client")
	fits := strings.Repeat("x", 4095)
	lines := []string{fits, fits + "x", strings.Repeat("y", 10<<20), "the rest", "nul\x00byte", "\xff\xfe", "", "carriage return\r", "no newline"}
	go func() {
		fmt.Fprint(client.in, strings.Join(lines, "\n"))
		client.in.Close()
	}()
	server.prints(t, fits, "the rest", "\xff\xfe", "", "carriage return\r", "no newline")
	contains(t, client.logs(t, "line 2"), "4096 bytes, at most 4095")
	contains(t, client.logs(t, "line 3"), "10485760 bytes, at most 4095")
	contains(t, client.logs(t, "line 5"), "NUL byte at offset 3")
	contains(t, client.ends(t, 1), "messages not sent: 3 of 9")
	server.ends(t, 0)
}

// stop stops a process, and returns when it has stopped.
func stop(t *testing.T, p *process) {
	t.Helper()
	p.signal(t, syscall.SIGSTOP)
	for {
		err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WSTOPPED, nil)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.EINTR) {
			t.Fatal(err)
		}
	}
}

// awaitPending waits until a token is in the FIFO of a server that does not
// take it.
func awaitPending(t *testing.T, dir string) {
	t.Helper()
	fd, err := unix.Open(filepath.Join(dir, fifoName), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}; set[0].Revents&unix.POLLIN == 0; {
		if _, err := unix.Poll(set, -1); err != nil && !errors.Is(err, unix.EINTR) {
			t.Fatal(err)
		}
	}
}

// awaitTaken waits until the server has taken the token of the text that it has
// printed.
func awaitTaken(t *testing.T, dir string) {
	t.Helper()
	fd, err := unix.Open(filepath.Join(dir, fifoName), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for bytes := 1; bytes > 0; {
		if bytes, err = unix.IoctlGetInt(fd, unix.TIOCINQ); err != nil {
			t.Fatal(err)
		}
	}
}

// sleepsIn reports whether a thread of the process sleeps in that function of
// the kernel.
func sleepsIn(t *testing.T, p *process, function string) bool {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/wchan", p.cmd.Process.Pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("no wait channels of process %d: %v", p.cmd.Process.Pid, err)
	}
	return slices.ContainsFunc(files, func(name string) bool {
		where, _ := os.ReadFile(name) // the thread may be gone
		return strings.Contains(string(where), function)
	})
}
