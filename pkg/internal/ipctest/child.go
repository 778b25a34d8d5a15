package ipctest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fork"
)

// Role makes a role of a function. An error is the last line that the child says, and
// no failure of the process: the test may expect it. io.EOF, with which a role ends that
// reads, is none.
func Role(do func(args []string) error) fork.Role {
	return func(_ context.Context, args []string) int {
		if err := do(args); err != nil && err != io.EOF { //nolint:errorlint // bare, as of any reader
			fmt.Println("error:", err)
		}
		return 0
	}
}

// StdinEnds is for a role that has done its part: it blocks until the parent closes
// [Child.Stdin].
func StdinEnds() { _, _ = io.Copy(io.Discard, os.Stdin) }

// Child is a process that runs a role. Its methods end the test if what they wait for
// does not happen.
type Child struct {
	Cmd   *exec.Cmd
	Stdin io.WriteCloser

	tb    testing.TB
	pipe  *os.File
	lines *bufio.Reader // of pipe
}

// Run starts a role. The test kills the child if it has not ended by then.
func Run(tb testing.TB, role string, args ...string) *Child {
	tb.Helper()
	return Start(tb, fork.Command(role, args...))
}

// Start is [Run] for what [fork.Command] has returned.
func Start(tb testing.TB, cmd *exec.Cmd) *Child {
	tb.Helper()
	stdin, err := cmd.StdinPipe()
	Must(tb, err)
	stdout, err := cmd.StdoutPipe()
	Must(tb, err)
	cmd.Stderr = os.Stderr
	err = cmd.Start()
	if errors.Is(err, unix.EPERM) { // root in a container
		tb.Skip("NOT TESTED: a process with these attributes takes privileges: ", err)
	}
	Must(tb, err)
	c := &Child{Cmd: cmd, Stdin: stdin, tb: tb, pipe: stdout.(*os.File), lines: bufio.NewReader(stdout)}
	tb.Cleanup(c.Kill)
	return c
}

// PID returns the id of the process.
func (c *Child) PID() int { return c.Cmd.Process.Pid }

// Line returns the next line that the child says.
func (c *Child) Line() string {
	c.tb.Helper()
	_ = c.pipe.SetReadDeadline(time.Now().Add(Limit))
	text, err := c.lines.ReadString('\n')
	if err != nil {
		c.tb.Fatalf("%s said %q: %v", c.Cmd.Args[0], text, err)
	}
	return strings.TrimSuffix(text, "\n")
}

// Expect waits for lines, which must be the next.
func (c *Child) Expect(lines ...string) {
	c.tb.Helper()
	for _, line := range lines {
		if got := c.Line(); got != line {
			c.tb.Fatalf("%s said %q, want %q", c.Cmd.Args[0], got, line)
		}
	}
}

// Rest returns what is said to the end of stdout, which comes when all that have it open
// have ended.
func (c *Child) Rest() string {
	c.tb.Helper()
	_ = c.pipe.SetReadDeadline(time.Now().Add(Limit))
	text, err := io.ReadAll(c.lines)
	if err != nil {
		c.tb.Fatalf("%s said %q: %v", c.Cmd.Args[0], text, err)
	}
	return string(text)
}

// Stop ends the child's stdin, waits for its end, which must be with success, and
// returns what it has said from then on.
func (c *Child) Stop() string {
	c.tb.Helper()
	_ = c.Stdin.Close()
	text := c.Rest()
	if err := c.Cmd.Wait(); err != nil {
		c.tb.Errorf("%s: %v", c.Cmd.Args[0], err)
	}
	return text
}

// Ends is [Child.Stop], and checks that the child says these lines and no others.
func (c *Child) Ends(lines ...string) {
	c.tb.Helper()
	want := ""
	for _, line := range lines {
		want += line + "\n"
	}
	if got := c.Stop(); got != want {
		c.tb.Errorf("%s said %q, want %q", c.Cmd.Args[0], got, want)
	}
}

// Kill is kill -9, and returns when the process has gone. Output that was not read is
// lost. After the end of the child Kill does nothing.
func (c *Child) Kill() {
	if c.Cmd.ProcessState == nil {
		_ = c.Cmd.Process.Kill()
		_ = c.Cmd.Wait()
	}
}
