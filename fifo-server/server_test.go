package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Whatever is in a line, the server prints it byte for byte, and a line that is
// too long is refused by its number while the others go.
func TestLinesArriveByteForByte(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("x", n) }
	tests := map[string]struct {
		input   string
		want    []string
		refused string
	}{
		"nothing":                      {},
		"an empty line":                {input: "\n", want: []string{""}},
		"empty lines among others":     {input: "\na\n\n\nb\n", want: []string{"", "a", "", "", "b"}},
		"no newline at the end":        {input: "a\nb", want: []string{"a", "b"}},
		"CRLF":                         {input: "a\r\n\r\nb\r\n", want: []string{"a\r", "\r", "b\r"}},
		"NUL bytes":                    {input: "\x00\na\x00b\n", want: []string{"\x00", "a\x00b"}},
		"invalid UTF-8":                {input: "\xff\xfe\n\xc3\n", want: []string{"\xff\xfe", "\xc3"}},
		"escape sequences":             {input: "\x1b[31mred\n", want: []string{"\x1b[31mred"}},
		"4095 and 4096 bytes":          {input: long(4095) + "\n" + long(4096) + "\n", want: []string{long(4095), long(4096)}},
		"4096 bytes without newline":   {input: long(4096), want: []string{long(4096)}},
		"4097 bytes":                   {input: "a\n" + long(4097) + "\nb\n", want: []string{"a", "b"}, refused: "line 2: 4097 bytes, at most 4096"},
		"4097 bytes without newline":   {input: "a\n" + long(4097), want: []string{"a"}, refused: "line 2: 4097 bytes, at most 4096"},
		"10 MB":                        {input: "a\n" + long(10_000_000) + "\nb\n", want: []string{"a", "b"}, refused: "line 2: 10000000 bytes, at most 4096"},
		"what looks like the server's": {input: "[ 1 ] client say : x\n" + eofLine, want: []string{"[ 1 ] client say : x", strings.TrimSuffix(eofLine, "\n")}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			s := start(t, dir, "fifo-server", "--readers", "1")
			c := start(t, dir, "fifo-client", "--wait", "20s")
			go func() {
				_, _ = io.WriteString(c.stdin, tt.input)
				c.stdin.Close()
			}()
			for _, text := range tt.want {
				s.expectMessage(text)
			}
			if rest := s.rest(); rest != eofLine {
				t.Errorf("then stdout is %q", rest)
			}
			if tt.refused == "" {
				c.exit(0)
			} else {
				text := c.exit(1)
				says(t, text, "Error .*"+tt.refused)
				says(t, text, `Error .*: messages not delivered: 1 of \d+\n`)
			}
			s.exit(0)
			expectNothingLeft(t, dir, s)
		})
	}
}

func TestLongArgumentIsRefused(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s := start(t, dir, "fifo-server", "--readers", "1")
	c := start(t, dir, "fifo-client", "--wait", "20s", strings.Repeat("x", 5000), strings.Repeat("y", 4096))
	says(t, c.exit(1), "Error .*argument 1: 5000 bytes, at most 4096")
	s.expectMessage(strings.Repeat("y", 4096))
	s.exit(0)
	expectNothingLeft(t, dir, s)
}

// Many lines, quickly: none lost, none repeated, none inside another, and more
// than one reader at work.
func TestManyLinesArriveWholeAndOnce(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s := start(t, dir, "fifo-server", "--readers", "3")
	c := start(t, dir, "fifo-client", "--wait", "20s")
	const count = 50_000
	line := func(i int) string { return fmt.Sprintf("%d %s", i, strings.Repeat("abcdefghij"[:1+i%10], i%37)) }
	go func() {
		w := bufio.NewWriter(c.stdin)
		for i := range count {
			fmt.Fprintln(w, line(i))
		}
		w.Flush()
		c.stdin.Close()
	}()
	expectLines(t, s.rest(), 3, func(yield func(string)) {
		for i := range count {
			yield(line(i))
		}
	})
	c.exit(0)
	says(t, s.exit(0), fmt.Sprintf("removed FIFO messages=%d\n", count))
	expectNothingLeft(t, dir, s)
}

// one yields one message.
func one(text string) func(yield func(string)) {
	return func(yield func(string)) { yield(text) }
}

// expectLines checks that stdout has the messages that each yields, and the end
// of file as often as there are readers, in any order.
func expectLines(t *testing.T, stdout string, readers int, each func(yield func(string))) {
	t.Helper()
	got := map[string]int{}
	for text := range strings.Lines(stdout) {
		text = strings.TrimSuffix(text, "\n")
		if m := messageLine.FindStringSubmatch(text); m != nil {
			got[m[2]]++
		} else {
			got[text]++
		}
	}
	want := map[string]int{}
	if readers > 0 {
		want[strings.TrimSuffix(eofLine, "\n")] = readers
	}
	each(func(text string) { want[text]++ })
	wrong := 0
	for text, n := range want {
		if got[text] != n {
			if wrong++; wrong <= 3 {
				t.Errorf("%d times in stdout, want %d: %.80q", got[text], n, text)
			}
		}
		delete(got, text)
	}
	for text, n := range got {
		if wrong++; wrong <= 6 {
			t.Errorf("%d times in stdout, want none: %.80q", n, text)
		}
	}
	if wrong > 0 {
		t.Errorf("%d lines are wrong", wrong)
	}
}

func TestTwoClientsAtOnceAreServed(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s := start(t, dir, "fifo-server")
	const count = 5000
	var clients [2]*process
	for i := range clients {
		clients[i] = start(t, dir, "fifo-client", "--wait", "20s")
		clients[i].send(fmt.Sprintf("client %d is there", i)) // before either ends
		s.line()
	}
	for i, c := range clients {
		go func() {
			w := bufio.NewWriter(c.stdin)
			for n := range count {
				fmt.Fprintf(w, "client %d line %d\n", i, n)
			}
			w.Flush()
			c.stdin.Close()
		}()
	}
	expectLines(t, s.rest(), 3, func(yield func(string)) {
		for i := range clients {
			for n := range count {
				yield(fmt.Sprintf("client %d line %d", i, n))
			}
		}
	})
	for _, c := range clients {
		c.exit(0)
	}
	s.exit(0)
	expectNothingLeft(t, dir, s)
}

// The article's programs can be at the other end: a client that writes a stream.
func TestStreamWriterIsServed(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s := start(t, dir, "fifo-server", "--readers", "1")
	s.await("waiting for a client")
	raw, err := os.OpenFile(filepath.Join(dir, "fifo.ipc"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	asleep(t, s, 1)
	fmt.Fprint(raw, "hello")
	s.expectMessage("hello")
	raw.Close()
	if rest := s.rest(); rest != eofLine {
		t.Errorf("stdout ends with %q", rest)
	}
	s.exit(0)
	expectNothingLeft(t, dir, s)
}

// A signal cleans up in every state, and is the exit code.
func TestSignalsEndTheServerInEveryState(t *testing.T) {
	t.Parallel()
	states := map[string]struct {
		args  []string
		reach func(t *testing.T, dir string, s *process) (client *process)
	}{
		"waiting for a client": {
			reach: func(t *testing.T, _ string, s *process) *process {
				s.await("waiting for a client")
				eventually(t, "it waits in poll(2)", func() bool { return inPoll(s.pid()) })
				return nil
			},
		},
		"serving": {
			reach: func(t *testing.T, dir string, s *process) *process {
				c := start(t, dir, "fifo-client", "--wait", "20s")
				c.send("hello")
				s.expectMessage("hello")
				asleep(t, s, 3)
				return c
			},
		},
		"keep-alive, idle": {
			args: []string{"--keep-alive"},
			reach: func(t *testing.T, dir string, s *process) *process {
				start(t, dir, "fifo-client", "--wait", "20s", "hello").exit(0)
				s.expectMessage("hello")
				asleep(t, s, 3)
				return nil
			},
		},
	}
	for name, state := range states {
		for _, sig := range []syscall.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
			t.Run(name+", "+unix.SignalName(sig), func(t *testing.T) {
				t.Parallel()
				dir := newDir(t)
				s := start(t, dir, "fifo-server", state.args...)
				c := state.reach(t, dir, s)
				s.signal(sig)
				text := s.exit(128 + int(sig))
				says(t, text, "Notice .*ended by signal "+unix.SignalName(sig))
				if strings.Contains(text, "Error") {
					t.Errorf("it says:\n%s", text)
				}
				if rest := s.rest(); rest != "" {
					t.Errorf("stdout is %q", rest)
				}
				expectNothingLeft(t, dir, s)
				if c != nil { // learns it with the next line
					c.send("in vain")
					says(t, c.exit(1), "the server has gone: .*broken pipe: messages not delivered: 1 of 2\n")
				}
				expectServes(t, dir, false)
			})
		}
	}
}

// Readers that cannot print are ended by force, and every message is accounted
// for: printed, lost with a reader, or left in the FIFO, where the client counts
// it.
func TestSignalsEndAServerWhoseStdoutIsFull(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			s, c := fullStdout(t, dir)
			s.signal(sig)
			serverLost := says(t, s.exit(128+int(sig)), `Error .*messages not printed: (\d+)\n`)
			said := c.exit(1)
			clientLost := says(t, said, `the server has gone: .*messages not delivered: (\d+) of \d+\n`)
			sent := says(t, said, `messages not delivered: \d+ of (\d+)\n`)
			taken := sent - clientLost
			inReaders := serverLost - (clientLost - 1) // the last one was never in the FIFO
			printed := 0
			for line := range strings.Lines(s.rest()) {
				if strings.HasSuffix(line, "yes\n") && messageLine.MatchString(strings.TrimSuffix(line, "\n")) {
					printed++
				}
			}
			// A reader that is killed in the middle of its lines has lost "up to"
			// what it had: some may be printed.
			if printed > taken || printed+inReaders < taken {
				t.Errorf("of %d messages taken, %d are printed, and %d said to be lost", taken, printed, inReaders)
			}
			expectNothingLeft(t, dir, s)
			expectServes(t, dir, false)
		})
	}
}

// fullStdout returns a server of which all readers block in write(2) to stdout,
// and a client that blocks because the FIFO is full too.
func fullStdout(t *testing.T, dir string) (s, c *process) {
	t.Helper()
	s = start(t, dir, "fifo-server", "--readers", "2")
	c = start(t, dir, "fifo-client", "--wait", "20s")
	go func() {
		line := []byte(strings.Repeat("yes\n", 1000))
		for {
			if _, err := c.stdin.Write(line); err != nil {
				return // it has ended
			}
		}
	}()
	awaitStuck(t, s, c)
	return s, c
}

// awaitStuck waits until nothing moves any more between the client and stdout.
func awaitStuck(t *testing.T, s, c *process) {
	t.Helper()
	eventually(t, "one reader blocks in write(2), and the other waits for it", func() bool {
		writing, locking := 0, 0
		for _, pid := range readers(s.pid()) {
			if sleepsIn(pid, unix.SYS_WRITE, 1) {
				writing++
			}
			if sleepsIn(pid, unix.SYS_FCNTL, 4) { // the ledger's lock
				locking++
			}
		}
		return writing == 1 && locking == 1
	})
	eventually(t, "the client waits for room", func() bool { return inPoll(c.pid()) })
}

// inPoll reports whether a thread of the process sleeps in poll(2) without a
// limit.
func inPoll(pid int) bool {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		f := strings.Fields(string(text))
		if len(f) > 3 && (f[0] == "7" && f[3] == "0xffffffff" || f[0] == fmt.Sprint(unix.SYS_PPOLL) && f[3] == "0x0") {
			return true
		}
	}
	return false
}

func TestSignalsEndTheClientInEveryState(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		t.Run("waiting for a server, "+unix.SignalName(sig), func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			c := start(t, dir, "fifo-client", "--wait", "1h", "hello")
			c.await("waiting for a server")
			c.signal(sig)
			says(t, c.exit(128+int(sig)), "ended by signal "+unix.SignalName(sig))
			expectNothingLeft(t, dir)
		})
		t.Run("blocked in open(2), "+unix.SignalName(sig), func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			path := filepath.Join(dir, "fifo.ipc")
			if err := unix.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
			c := start(t, dir, "fifo-client", "--wait", "1h", "hello")
			other := start(t, dir, "fifo-client", "--wait", "1h", "from the other")
			for _, c := range []*process{c, other} {
				eventually(t, "it blocks in open(2)", func() bool { return sleepsIn(c.pid(), unix.SYS_OPENAT) })
			}
			c.signal(sig)
			says(t, c.exit(128+int(sig)), "ended by signal "+unix.SignalName(sig))
			// The other waits on, for a server that comes.
			s := start(t, dir, "fifo-server")
			expectLines(t, s.rest(), 3, one("from the other"))
			other.exit(0)
			s.exit(0)
			expectNothingLeft(t, dir, s)
		})
		t.Run("waiting for a line, "+unix.SignalName(sig), func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			s := start(t, dir, "fifo-server")
			c := start(t, dir, "fifo-client", "--wait", "20s")
			c.send("hello")
			s.expectMessage("hello")
			c.signal(sig)
			text := c.exit(128 + int(sig))
			if strings.Contains(text, "not delivered") {
				t.Errorf("it says:\n%s", text)
			}
			if rest := s.rest(); rest != strings.Repeat(eofLine, 3) {
				t.Errorf("stdout ends with %q", rest)
			}
			s.exit(0)
			expectNothingLeft(t, dir, s)
		})
		t.Run("waiting for room, "+unix.SignalName(sig), func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			s, c := fullStdout(t, dir)
			c.signal(sig)
			// The one that it could not send; the others are with the server.
			said := c.exit(128 + int(sig))
			sent := says(t, said, `ended by signal `+unix.SignalName(sig)+`: messages not delivered: 1 of (\d+)\n`) - 1
			expectLines(t, s.rest(), 2, func(yield func(string)) {
				for range sent {
					yield("yes")
				}
			})
			s.exit(0)
			expectNothingLeft(t, dir, s)
		})
	}
}

func TestStdoutClosedEarlyEndsTheServer(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s := start(t, dir, "fifo-server")
	c := start(t, dir, "fifo-client", "--wait", "20s")
	c.send("one")
	s.expectMessage("one")
	s.pipe.Close() // as head -1 does
	c.send("two")
	text := s.exit(1)
	says(t, text, "Error .*write to stdout: broken pipe")
	if lost := says(t, text, `Error .*messages not printed: (\d+)\n`); lost != 1 {
		t.Errorf("%d messages are said to be lost, want 1", lost)
	}
	expectNothingLeft(t, dir, s)
	c.send("three")
	says(t, c.exit(1), "the server has gone: .*messages not delivered: 1 of 3\n")
	expectServes(t, dir, false)
}

func TestStdoutClosedEarlyUnderLoad(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s, c := fullStdout(t, dir)
	s.line()
	s.pipe.Close()
	says(t, s.exit(1), `Error .*messages not printed: (\d+)\n`)
	says(t, c.exit(1), "the server has gone: .*messages not delivered: ")
	expectNothingLeft(t, dir, s)
}

func TestFullDiskEndsTheServer(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	cmd := exec.CommandContext(context.Background(), "sh", "-c", "exec fifo-server >/dev/full")
	s := startCmd(t, dir, cmd)
	start(t, dir, "fifo-client", "--wait", "20s", "hello")
	text := s.exit(1)
	says(t, text, "Error .*write to stdout: no space left on device")
	says(t, text, "Error .*messages not printed: 1\n")
	expectNothingLeft(t, dir, s)
}

// The readers of a server that was killed end, and the next start takes over.
func TestKilledServerIsReplaced(t *testing.T) {
	t.Parallel()
	states := map[string]struct {
		args  []string
		reach func(t *testing.T, dir string, s *process)
	}{
		"waiting for a client": {reach: func(_ *testing.T, _ string, s *process) { s.await("waiting for a client") }},
		"serving": {reach: func(t *testing.T, dir string, s *process) {
			c := start(t, dir, "fifo-client", "--wait", "20s")
			c.send("hello")
			s.expectMessage("hello")
			asleep(t, s, 3)
			t.Cleanup(func() {
				c.send("in vain")
				says(t, c.exit(1), "the server has gone: .*messages not delivered: 1 of 2\n")
			})
		}},
		"keep-alive, idle": {args: []string{"--keep-alive"}, reach: func(t *testing.T, _ string, s *process) {
			s.await("serving until")
			asleep(t, s, 3)
		}},
	}
	for name, state := range states {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			s := start(t, dir, "fifo-server", state.args...)
			state.reach(t, dir, s)
			s.signal(unix.SIGKILL)
			s.exit(-1)
			// Its end is that of the readers. Those that see the end of the
			// server's own write end before its death say so.
			if rest := strings.ReplaceAll(s.rest(), eofLine, ""); rest != "" {
				t.Errorf("stdout is %q", rest)
			}
			if pids := readers(s.pid()); len(pids) > 0 {
				t.Errorf("readers %v are left", pids)
			}
			expectServes(t, dir, true)
		})
	}
}

// A message that a reader takes at the moment when it learns of the server's death
// is printed.
func TestReaderOfAKilledServerPrintsWhatItHasTaken(t *testing.T) {
	t.Parallel()
	for range 5 {
		dir := newDir(t)
		s := start(t, dir, "fifo-server", "--readers", "1")
		c := start(t, dir, "fifo-client", "--wait", "20s")
		c.send("one")
		s.expectMessage("one")
		reader := asleep(t, s, 1)[0]
		if err := unix.Kill(reader, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		eventually(t, "all its threads have stopped", func() bool { return isStopped(reader) })
		c.send("two")
		eventually(t, "the client has sent it", func() bool { return pendingIn(filepath.Join(dir, "fifo.ipc")) == len("two") })
		s.signal(unix.SIGKILL)
		eventually(t, "the server is dead", func() bool {
			stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid()))
			return strings.Contains(string(stat), ") Z ")
		})
		if err := unix.Kill(reader, unix.SIGCONT); err != nil {
			t.Fatal(err)
		}
		s.expectMessage("two")
		s.exit(-1)
		if rest := s.rest(); rest != "" {
			t.Errorf("then stdout is %q", rest)
		}
		c.stdin.Close()
		c.exit(0)
		expectServes(t, dir, true)
	}
}

// Also readers that sit in write(2), which nothing interrupts, are gone a second
// later.
func TestReadersOfAKilledServerEndAlsoWhenStdoutIsFull(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s, c := fullStdout(t, dir)
	s.signal(unix.SIGKILL)
	s.exit(-1)
	says(t, c.exit(1), "the server has gone: .*messages not delivered: ")
	eventually(t, "the readers have ended", func() bool { return len(readers(s.pid())) == 0 })
	expectServes(t, dir, true)
}

// A client that outlives its server counts what nobody has read.
func TestClientCountsWhatAKilledServerHasNotRead(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s := start(t, dir, "fifo-server")
	c := start(t, dir, "fifo-client", "--wait", "20s")
	c.send("one")
	s.expectMessage("one")
	pids := append(asleep(t, s, 3), s.pid())
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		// A thread that sleeps in read(2) could take a message on its way.
		eventually(t, "all its threads have stopped", func() bool { return isStopped(pid) })
	}
	c.send("two", "three", "four", "five")
	// The client has sent them when it reads stdin again and stdin is empty.
	eventually(t, "the client waits for a line", func() bool {
		n, err := unix.IoctlGetInt(int(c.stdin.(*os.File).Fd()), unix.TIOCINQ)
		return err == nil && n == 0 && pendingIn(filepath.Join(dir, "fifo.ipc")) == len("twothreefourfive")
	})
	slices.Reverse(pids) // the server first, or it would replace its readers
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	s.exit(-1)
	s.rest()
	c.stdin.Close()
	says(t, c.exit(1), "FIFO .*/fifo.ipc: the server has gone: messages not delivered: 4 of 5\n")
	expectServes(t, dir, true)
}

// isStopped reports whether all threads of the process are stopped.
func isStopped(pid int) bool {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		if !strings.Contains(string(text), ") T ") {
			return false
		}
	}
	return len(tasks) > 0
}

// pendingIn returns how many bytes are in a FIFO that is served.
func pendingIn(path string) int {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	defer unix.Close(fd)
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	if err != nil {
		return -1
	}
	return n
}

func TestKilledReaderIsReplaced(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s := start(t, dir, "fifo-server")
	c := start(t, dir, "fifo-client", "--wait", "20s")
	c.send("one")
	s.expectMessage("one")
	for range 3 {
		victim := asleep(t, s, 3)[0]
		if err := unix.Kill(victim, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		s.await(fmt.Sprintf(`Warning .*a reader was killed messages_lost=0 pid=%d signal=SIGKILL`, victim))
		s.await(`Notice .*started another reader in its place pid=(\d+)`)
		if pids := asleep(t, s, 3); slices.Contains(pids, victim) {
			t.Errorf("readers are %v, after %d was killed", pids, victim)
		}
		c.send("two")
		s.expectMessage("two")
	}
	c.stdin.Close()
	c.exit(0)
	if rest := s.rest(); rest != strings.Repeat(eofLine, 3) {
		t.Errorf("stdout ends with %q", rest)
	}
	s.exit(0)
	expectNothingLeft(t, dir, s)
}

// What a reader had taken is lost with it: said, counted, and in the exit code.
// The half line that it leaves does not become one with the next.
func TestLossWithAKilledReaderIsCounted(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s, c := fullStdout(t, dir)
	var victim int
	for _, pid := range readers(s.pid()) {
		if sleepsIn(pid, unix.SYS_WRITE, 1) {
			victim = pid
		}
	}
	if err := unix.Kill(victim, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	lost := 0
	fmt.Sscan(s.await(fmt.Sprintf(`Warning .*a reader was killed messages_lost=(\d+) pid=%d`, victim)), &lost)
	if lost == 0 {
		t.Error("no message is said to be lost")
	}
	s.await("started another reader")
	awaitStuck(t, s, c)
	// The client ends while it is stuck, with a message in hand. Only then
	// stdout is read.
	c.signal(unix.SIGTERM)
	sent := says(t, c.exit(128+int(unix.SIGTERM)), `messages not delivered: 1 of (\d+)\n`) - 1
	rest := s.rest()
	if n := says(t, s.exit(1), `Error .*messages not printed: (\d+)\n`); n != lost {
		t.Errorf("in the end %d messages are said to be lost, want %d", n, lost)
	}
	whole, parts := 0, 0
	for line := range strings.Lines(rest) {
		m := messageLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		switch {
		case m != nil && m[2] == "yes":
			whole++
		case line == eofLine || line == "\n":
		case strings.Count(line, "[") > 1:
			t.Errorf("two lines in one: %q", line)
		default:
			parts++
		}
	}
	if parts > 1 {
		t.Errorf("%d lines are not whole, and one reader was killed", parts)
	}
	if whole > sent || whole+lost < sent {
		t.Errorf("of %d messages, %d are printed, and %d said to be lost", sent, whole, lost)
	}
	expectNothingLeft(t, dir, s)
}

func TestKilledClientIsOneThatHasLeft(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s := start(t, dir, "fifo-server")
	c := start(t, dir, "fifo-client", "--wait", "20s")
	c.send("last words")
	s.expectMessage("last words")
	c.signal(unix.SIGKILL)
	if rest := s.rest(); rest != strings.Repeat(eofLine, 3) {
		t.Errorf("stdout ends with %q", rest)
	}
	s.exit(0)
	expectNothingLeft(t, dir, s)
	expectServes(t, dir, false)
}

func TestReadersThatCannotAllBeStartedAreEnded(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	// Each reader takes a descriptor of the server.
	s := startCmd(t, dir, exec.CommandContext(context.Background(), "sh", "-c", "ulimit -n $(($(ls /proc/self/fd | wc -l) + 36)); exec fifo-server --readers 60"))
	c := start(t, dir, "fifo-client", "--wait", "20s")
	says(t, s.exit(1), "Error .*start reader: .*too many open files")
	if rest := s.rest(); rest != "" {
		t.Errorf("stdout is %q", rest)
	}
	c.stdin.Close()
	c.exit(0)
	expectNothingLeft(t, dir, s)
}

func TestFolderThatMayNotBeWrittenToIsNamed(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: needs root, to be another user")
	}
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	nobody := func(args ...string) *process {
		cmd := exec.CommandContext(context.Background(), args[0], args[1:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		return startCmd(t, dir, cmd)
	}
	says(t, nobody("fifo-server", "--path", dir+"/fifo").exit(1), "Error .*"+dir+"/fifo: "+dir+"/.fifo.new: mkdir: permission denied")
	says(t, nobody("fifo-server").exit(1), "Error .*folder "+dir+": it belongs to uid 0, not to you")
	// The FIFO of another, that may not be opened.
	s := start(t, dir, "fifo-server", "--path", dir+"/fifo")
	s.await("waiting for a client")
	says(t, nobody("fifo-client", "--path", dir+"/fifo", "hello").exit(1), "Error .*permission denied")
	// But whether it is served can be seen.
	nobody("fifo-server", "health", "--path", dir+"/fifo").exit(0)
	start(t, dir, "fifo-client", "--path", dir+"/fifo", "hello").exit(0)
	s.exit(0)
	// One that may, and may not look into its server: --explain says so.
	s = start(t, dir, "fifo-server", "--path", dir+"/fifo", "--mode", "0666")
	s.await("waiting for a client")
	text := nobody("fifo-client", "--path", dir+"/fifo", "--explain", "hello").exit(0)
	says(t, text, "⇒ who reads the FIFO cannot be seen: .*CAP_SYS_PTRACE")
	s.exit(0)
	expectNothingLeft(t, dir, s)
}

// Lines go to stdout as soon as no other message waits: a person sees them.
func TestServerPrintsAtOnce(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s := start(t, dir, "fifo-server", "--keep-alive")
	c := start(t, dir, "fifo-client", "--wait", "20s")
	seen := map[int]bool{}
	for i := range 100 {
		c.send(fmt.Sprint(i))
		seen[s.expectMessage(fmt.Sprint(i))] = true
	}
	if len(seen) == 0 || seen[s.pid()] {
		t.Errorf("readers %v printed, of server %d", seen, s.pid())
	}
	c.stdin.Close()
	c.exit(0)
	s.signal(unix.SIGTERM)
	s.exit(128 + int(unix.SIGTERM))
	expectNothingLeft(t, dir, s)
}

// A terminal is asked line by line, and ends with Ctrl-D.
func TestClientPromptsOnATerminal(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s := start(t, dir, "fifo-server")
	s.await("waiting for a client")
	master, slave := terminal(t)
	cmd := exec.CommandContext(context.Background(), "fifo-client", "--wait", "20s")
	cmd.Env = append(os.Environ(), "IPC_DIR="+dir)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = slave, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	for _, text := range []string{"hello", ""} {
		fmt.Fprintln(master, text)
		s.expectMessage(text)
	}
	fmt.Fprint(master, "\x04")
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, stderr.String())
	}
	says(t, stderr.String(), "Notice .*connected: type a message")
	if n := strings.Count(stderr.String(), "> "); n != 3 {
		t.Errorf("%d prompts, want 3:\n%s", n, stderr.String())
	}
	s.exit(0)
	expectNothingLeft(t, dir, s)
}

// terminal returns both ends of a pty(7).
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// Health is asked, and servers are started, while others come and go: nobody is
// disturbed.
func TestHealthChecksDisturbNobody(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s := start(t, dir, "fifo-server")
	s.await("waiting for a client")
	var checks sync.WaitGroup
	for range 2 {
		checks.Go(func() {
			for range 5 {
				for args, code := range map[string]int{"health": 0, "--keep-alive": 1} {
					cmd := exec.CommandContext(context.Background(), "fifo-server", args)
					cmd.Env = append(os.Environ(), "IPC_DIR="+dir)
					if _ = cmd.Run(); cmd.ProcessState.ExitCode() != code {
						t.Errorf("fifo-server %s: %v, want %d", args, cmd.ProcessState, code)
					}
				}
			}
		})
	}
	checks.Wait()
	start(t, dir, "fifo-client", "hello").exit(0)
	expectLines(t, s.rest(), 3, one("hello"))
	s.exit(0)
	expectNothingLeft(t, dir, s)
}
