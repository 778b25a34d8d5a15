package suitetest

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Process is a program that a test talks to through pipes. Its methods end the test if
// what they wait for does not happen.
type Process struct {
	Cmd *exec.Cmd
	// Stdin is a pipe to the process, nil if Cmd came with a stdin of its own.
	Stdin *os.File
	// Stdout is a pipe from the process, of which only the test reads, and nil if Cmd
	// came with a stdout of its own. Line, Prints, Writes and Rest read ahead of
	// what they return.
	Stdout *os.File
	// Stderr is collected as it comes.
	Stderr *Output

	t      testing.TB
	lines  *bufio.Reader // of Stdout
	heard  int           // how much of Stderr Await has passed
	mark   string        // in the environment of the process and of all that it starts
	reaped chan struct{}
}

// Start starts a binary with dir as its IPC_DIR.
func Start(t testing.TB, dir, name string, args ...string) *Process {
	t.Helper()
	return StartCmd(t, dir, exec.Command(name, args...))
}

// StartCmd starts a command with dir as its IPC_DIR, unless dir is "". When the test
// ends, the process is killed with all that it has started.
func StartCmd(t testing.TB, dir string, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{Cmd: cmd, t: t, mark: "SUITETEST=" + rand.Text(), reaped: make(chan struct{})}
	cmd.Env = append(cmd.Environ(), p.mark)
	if dir != "" {
		cmd.Env = append(cmd.Env, "IPC_DIR="+dir)
	}
	theirs, stderr := p.connect()
	err := cmd.Start()
	for _, f := range theirs {
		f.Close()
	}
	if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	p.Stderr = Collect(stderr)
	go func() {
		defer close(p.reaped)
		_ = cmd.Wait() // its state tells
	}()
	t.Cleanup(p.cleanUp)
	return p
}

// connect makes the pipes to the process. It returns the process's ends, and what its
// stderr can be read from.
func (p *Process) connect() (theirs []*os.File, stderr *os.File) {
	p.t.Helper()
	pipe := func() (r, w *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			p.t.Fatal(err)
		}
		return r, w
	}
	if p.Cmd.Stdin == nil {
		r, w := pipe()
		p.Stdin, p.Cmd.Stdin, theirs = w, r, append(theirs, r)
	}
	if p.Cmd.Stdout == nil {
		r, w := pipe()
		p.Stdout, p.lines, p.Cmd.Stdout, theirs = r, bufio.NewReader(r), w, append(theirs, w)
	}
	stderr, w := pipe()
	p.Cmd.Stderr = w
	return append(theirs, w), stderr
}

// cleanUp kills the process and all that it has started.
func (p *Process) cleanUp() {
	KillMarked(p.mark)
	timeout := time.After(Limit)
	for what, end := range map[string]<-chan struct{}{"it": p.reaped, "what has its stderr": p.Stderr.ended} {
		select {
		case <-end:
		case <-timeout:
			p.t.Errorf("%v: %s cannot be killed", p.Cmd.Args, what)
		}
	}
	for _, f := range []*os.File{p.Stdin, p.Stdout} {
		if f != nil {
			f.Close()
		}
	}
}

// PID returns the id of the process.
func (p *Process) PID() int { return p.Cmd.Process.Pid }

// Reaped is closed when the process has ended. What it has started may live on.
func (p *Process) Reaped() <-chan struct{} { return p.reaped }

// Status returns how the process has ended.
func (p *Process) Status() syscall.WaitStatus {
	return p.Cmd.ProcessState.Sys().(syscall.WaitStatus) // on Linux it is one
}

// Signal sends a signal to the process, which must be there.
func (p *Process) Signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.Cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// Stop stops the process, and returns when all its threads have stopped.
func (p *Process) Stop() {
	p.t.Helper()
	Stop(p.t, p.PID())
}

// Kill is kill -9. It returns when the process is gone. What the process has started may
// live on.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill() // it may have ended
	<-p.reaped
}

// Send writes lines to stdin.
func (p *Process) Send(lines ...string) {
	p.t.Helper()
	_ = p.Stdin.SetWriteDeadline(time.Now().Add(Limit))
	if _, err := p.Stdin.WriteString(strings.Join(lines, "\n") + "\n"); err != nil {
		p.t.Fatalf("stdin of %v: %v; stderr:\n%s", p.Cmd.Args, err, p.Stderr)
	}
	_ = p.Stdin.SetWriteDeadline(time.Time{})
}

// EOF ends stdin, and returns p.
func (p *Process) EOF() *Process {
	p.Stdin.Close()
	return p
}

// Line returns the next line of stdout.
func (p *Process) Line() string {
	p.t.Helper()
	_ = p.Stdout.SetReadDeadline(time.Now().Add(Limit))
	text, err := p.lines.ReadString('\n')
	if err != nil {
		p.t.Fatalf("stdout of %v: %q, %v; stderr:\n%s", p.Cmd.Args, text, err, p.Stderr)
	}
	return strings.TrimSuffix(text, "\n")
}

// Prints waits for lines on stdout, which must be the next.
func (p *Process) Prints(lines ...string) {
	p.t.Helper()
	for _, want := range lines {
		if got := p.Line(); got != want {
			p.t.Fatalf("%v printed %.200q, want %.200q; stderr:\n%s", p.Cmd.Args, got, want, p.Stderr)
		}
	}
}

// Rest returns what is left of stdout. It waits for its end, which comes when all that
// have it open have ended.
func (p *Process) Rest() string {
	p.t.Helper()
	_ = p.Stdout.SetReadDeadline(time.Now().Add(Limit))
	text, err := io.ReadAll(p.lines)
	if err != nil && !errors.Is(err, os.ErrClosed) {
		p.t.Fatalf("stdout of %v: %.200q, %v; stderr:\n%s", p.Cmd.Args, text, err, p.Stderr)
	}
	return string(text)
}

// Writes waits for these bytes on stdout, which must be the next.
func (p *Process) Writes(want []byte) {
	p.t.Helper()
	_ = p.Stdout.SetReadDeadline(time.Now().Add(Limit))
	got := make([]byte, len(want))
	if n, err := io.ReadFull(p.lines, got); err != nil {
		p.t.Fatalf("%v wrote %d bytes of %d: %v; stderr:\n%s", p.Cmd.Args, n, len(want), err, p.Stderr)
	}
	if !bytes.Equal(got, want) {
		p.t.Fatalf("%v wrote other bytes; stderr:\n%s", p.Cmd.Args, p.Stderr)
	}
}

// Await waits for a line on stderr that matches the regular expression, behind the one
// that was awaited before. It returns the part in parentheses, or without one the line.
func (p *Process) Await(pattern string) string {
	p.t.Helper()
	re, found := regexp.MustCompile(pattern), ""
	search := func(text []byte) bool {
		for {
			line, _, whole := bytes.Cut(text[p.heard:], []byte{'\n'})
			if !whole {
				return false
			}
			p.heard += len(line) + 1
			if m := re.FindSubmatch(line); m != nil {
				found = string(line)
				if len(m) > 1 {
					found = string(m[1])
				}
				return true
			}
		}
	}
	if !p.Stderr.Await(time.After(Limit), search) {
		p.t.Fatalf("%v has not said %q; it said:\n%s", p.Cmd.Args, pattern, p.Stderr)
	}
	return found
}

// Exit waits for the end of the process and of all that have its stderr. It checks the
// exit code, -1 being that of a process that was killed, and returns what was said on
// stderr since the line awaited last.
func (p *Process) Exit(code int) string {
	p.t.Helper()
	timeout := time.After(Limit)
	for _, end := range []<-chan struct{}{p.reaped, p.Stderr.ended} {
		select {
		case <-end:
		case <-timeout:
			p.t.Fatalf("%v has not ended; it said:\n%s", p.Cmd.Args, p.Stderr)
		}
	}
	if got := p.Cmd.ProcessState.ExitCode(); got != code {
		p.t.Errorf("%v: %v, want exit code %d; it said:\n%s", p.Cmd.Args, p.Cmd.ProcessState, code, p.Stderr)
	}
	return p.Stderr.String()[p.heard:]
}

// Ends ends stdin, checks that nothing more comes on stdout, and is [Process.Exit] then.
func (p *Process) Ends(code int) string {
	p.t.Helper()
	if p.Stdin != nil {
		p.Stdin.Close()
	}
	if p.Stdout != nil {
		if rest := p.Rest(); rest != "" {
			p.t.Errorf("%v prints %.200q more", p.Cmd.Args, rest)
		}
	}
	return p.Exit(code)
}

// Contains checks that text has all the parts in it.
func Contains(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in:\n%s", part, text)
		}
	}
}

// Find returns the part in parentheses of what matches the regular expression in text,
// or without one all that matches. Something must.
func Find(t testing.TB, text, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("%q is not in:\n%s", pattern, text)
	}
	return slices.Concat(m[1:], m[:1])[0]
}
