package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/internal/suitetest"
	"example.com/ipcsuite/pkg/sysv"
)

// good is the outcome of a round in which one client was fed five lines, one of
// them too long, and nothing happened.
func good(m mechanism) *outcome {
	o := &outcome{plan: plan{mechanism: m, readers: 2, clients: 1}}
	for seq := range 5 {
		l := line{seq: seq, size: 20}
		if seq == 3 {
			l.size = m.longest + 1
		} else {
			o.stdout += printedLine(m, l.text())
		}
		o.lines = append(o.lines, l)
	}
	if m.readers {
		o.stdout += strings.Repeat(eofLine+"\n", o.readers)
	}
	o.clients = []clientEnd{{end: end{code: 1}, lines: o.lines, fed: 5, counted: true, lost: 1, total: 5}}
	return o
}

func printedLine(m mechanism, text string) string {
	if m.readers {
		text = "[ 4257 ] client say : " + text
	}
	return text + "\n"
}

// serverDied makes the outcome that of a round in which the server was killed, and
// the client told that so many of its messages are not delivered.
func serverDied(o *outcome, lost int) {
	o.server.end = end{code: -1, killed: unix.SIGKILL, signals: []syscall.Signal{unix.SIGKILL}}
	o.clients[0].gone, o.clients[0].lost = true, lost+1
}

// drop takes the line of a message out of what was printed.
func drop(o *outcome, seq int) {
	o.stdout = strings.Replace(o.stdout, printedLine(o.mechanism, o.lines[seq].text()), "", 1)
}

// The checks can fail: each fault is found, and what is no fault is not.
func TestCheckFindsEveryFault(t *testing.T) {
	tests := map[string]struct {
		change func(o *outcome)
		want   string // in what is found; "": nothing is
	}{
		"nothing":                  {func(*outcome) {}, ""},
		"a message is dropped":     {func(o *outcome) { drop(o, 1) }, "1 messages that clients were told were delivered are not printed"},
		"the last one is dropped":  {func(o *outcome) { drop(o, 4) }, "1 messages that clients were told"},
		"a message is doubled":     {func(o *outcome) { o.stdout += printedLine(o.mechanism, o.lines[1].text()) }, "printed 2 times"},
		"a message is torn":        {func(o *outcome) { o.stdout = strings.Replace(o.stdout, o.lines[1].text(), o.lines[1].text()[:9], 1) }, "1 lines are torn, and 0 processes"},
		"two are merged":           {func(o *outcome) { o.stdout = strings.Replace(o.stdout, ".\n", ".", 1) }, "printed, and not fed"},
		"a byte is another":        {func(o *outcome) { o.stdout = strings.Replace(o.stdout, ".\n", "!\n", 1) }, "printed, and not fed"},
		"one nobody has fed":       {func(o *outcome) { o.stdout += printedLine(o.mechanism, line{seq: 9, size: 20}.text()) }, "printed, and not fed"},
		"one too long is printed":  {func(o *outcome) { o.stdout += printedLine(o.mechanism, o.lines[3].text()) }, "of 4097 bytes is printed"},
		"the client counts more":   {func(o *outcome) { o.clients[0].lost, o.clients[0].gone = 2, true }, "1 messages are printed that clients counted as not delivered"},
		"the client counts fewer":  {func(o *outcome) { serverDied(o, 1); drop(o, 4); drop(o, 2) }, "1 messages that clients were told"},
		"of more than it was fed":  {func(o *outcome) { o.clients[0].total = 6 }, "counts 6 messages, was fed 5"},
		"of fewer than it was fed": {func(o *outcome) { o.clients[0].total = 4 }, "knows of no server that has gone"},
		"none, with code 1":        {func(o *outcome) { o.clients[0].counted = false }, "client 0, exit code 1"},
		"some, with code 0":        {func(o *outcome) { o.clients[0].code = 0 }, "client 0, exit code 0"},
		"not those too long":       {func(o *outcome) { o.clients[0].lost = 0; o.clients[0].code = 0 }, "client 0, exit code 0"},
		"a code of no signal":      {func(o *outcome) { o.clients[0].code = 130 }, "client 0, exit code 130"},
		"a client that crashes":    {func(o *outcome) { o.clients[0].killed = unix.SIGSEGV }, "client 0, killed by SIGSEGV"},
		"a server that crashes":    {func(o *outcome) { o.server.code = 2 }, "the server: exit code 2"},
		"a server that is killed":  {func(o *outcome) { serverDied(o, 2); drop(o, 4); drop(o, 2) }, ""},
		"a server that is ended": {func(o *outcome) {
			serverDied(o, 1)
			drop(o, 4)
			o.server.end = end{code: 143, signals: []syscall.Signal{unix.SIGTERM}}
		}, ""},
		"a client that is ended": {func(o *outcome) {
			o.clients[0] = clientEnd{end: end{code: 143, signals: []syscall.Signal{unix.SIGTERM}}, lines: o.lines, fed: 5}
			drop(o, 4)
			drop(o, 2)
		}, ""},
		"and what it had sent is dropped": {func(o *outcome) {
			o.clients[0] = clientEnd{end: end{code: 143, signals: []syscall.Signal{unix.SIGTERM}}, lines: o.lines, fed: 5}
			drop(o, 2)
		}, "1 messages that clients were told"},
	}
	for _, m := range []mechanism{viaFIFO, viaMailbox} {
		for name, tt := range tests {
			t.Run(m.name+", "+name, func(t *testing.T) {
				o := good(m)
				tt.change(o)
				expectFound(t, o, strings.ReplaceAll(tt.want, "4097", fmt.Sprint(m.longest+1)))
			})
		}
	}
}

// What only a server with readers can say.
func TestCheckKnowsWhatKilledReadersTake(t *testing.T) {
	killed := func(o *outcome, held, lost, code int) {
		o.server.reaped, o.server.held, o.server.lost, o.server.code = 1, held, lost, code
	}
	tests := map[string]struct {
		change func(o *outcome)
		want   string
	}{
		"counted":                {func(o *outcome) { drop(o, 1); killed(o, 1, 1, 1) }, ""},
		"one too few":            {func(o *outcome) { drop(o, 1); drop(o, 2); killed(o, 1, 1, 1) }, "2 messages that clients were told"},
		"counted, not in code":   {func(o *outcome) { drop(o, 1); killed(o, 1, 1, 0) }, "the server: exit code 0"},
		"at most, so many":       {func(o *outcome) { drop(o, 1); killed(o, 3, 3, 1) }, ""},
		"more than it had":       {func(o *outcome) { drop(o, 1); killed(o, 1, 3, 1) }, "the server counts 3 lost, 1 with killed readers"},
		"counted without a loss": {func(o *outcome) { o.server.lost, o.server.code = 1, 1 }, "the server counts 1 lost"},
		"torn": {func(o *outcome) {
			o.stdout = strings.Replace(o.stdout, o.lines[1].text(), o.lines[1].text()[:9]+"\n", 1)
			killed(o, 1, 1, 1)
		}, ""},
		"torn twice": {func(o *outcome) {
			for _, l := range o.lines[1:3] {
				o.stdout = strings.Replace(o.stdout, l.text(), l.text()[:9], 1)
			}
			killed(o, 2, 2, 1)
		}, "2 lines are torn, and 1 processes"},
		"of a client that is ended": {func(o *outcome) {
			drop(o, 4)
			o.clients[0] = clientEnd{end: end{killed: unix.SIGKILL, signals: []syscall.Signal{unix.SIGKILL}}, lines: o.lines, fed: 5}
			o.server.lost, o.server.code, o.server.signals = 1, 143, []syscall.Signal{unix.SIGTERM}
		}, ""},
		"nobody could count": {func(o *outcome) { drop(o, 1); serverDied(o, 0); o.server.unreaped = 1 }, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := good(viaFIFO)
			tt.change(o)
			expectFound(t, o, tt.want)
		})
	}
}

// What is promised of the mailbox alone.
func TestCheckKnowsTheMailbox(t *testing.T) {
	tests := map[string]struct {
		change func(o *outcome)
		want   string
	}{
		"printed, and killed before it was taken": {func(o *outcome) { serverDied(o, 1) }, ""},
		"but only one": {func(o *outcome) { serverDied(o, 2) }, "2 messages are printed that clients counted as not delivered, at most 1"},
		"taken, and killed before it was printed": {func(o *outcome) { drop(o, 4); serverDied(o, 0) }, "1 messages that clients were told"},
		"in another order": {func(o *outcome) {
			drop(o, 1)
			o.stdout += o.lines[1].text() + "\n"
		}, "printed behind message 4"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := good(viaMailbox)
			tt.change(o)
			expectFound(t, o, tt.want)
		})
	}
}

func expectFound(t *testing.T, o *outcome, want string) {
	t.Helper()
	found := strings.Join(o.check(), "\n")
	if want == "" && found != "" || !strings.Contains(found, want) {
		t.Errorf("found: %q\nwant: %q", found, want)
	}
}

// And so is whatever is left behind.
func TestLeftoversAreFound(t *testing.T) {
	dir, mark := t.TempDir(), fmt.Sprintf("CHAOS_ROUND=leftovers.%d", os.Getpid())
	expect := func(want string) {
		t.Helper()
		found := append(suitetest.Leftovers(dir, projID), suitetest.LeftRunning(mark)...)
		if want == "" && len(found) > 0 || want != "" && (len(found) != 1 || !strings.Contains(found[0], want)) {
			t.Errorf("found %q, want %q", found, want)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	expect("")

	fifo := filepath.Join(dir, contract.FIFOName)
	must(unix.Mkfifo(fifo, 0o600))
	expect(contract.FIFOName)
	must(os.Remove(fifo))

	key, err := sysv.Ftok(dir, projID)
	must(err)
	segment, err := sysv.Create(key, 1, 0o600)
	must(err)
	expect("segment")
	must(segment.Remove())

	folder, err := os.Open(dir)
	must(err)
	must(unix.Flock(int(folder.Fd()), unix.LOCK_EX))
	expect("lock")
	must(folder.Close())

	// It reads from a pipe whose other end is ours.
	r, w, err := os.Pipe()
	must(err)
	cmd := exec.Command("cat")
	cmd.Env, cmd.Stdin = append(os.Environ(), mark), r
	must(cmd.Start())
	must(r.Close())
	expect(fmt.Sprintf("process %d", cmd.Process.Pid))
	must(w.Close())
	must(cmd.Wait())
	expect("")
}
