package fifo_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/fork"
)

// The test binary is its own child: see roles_test.go.
func TestMain(m *testing.M) {
	fork.Dispatch(roles)
	// The race detector keeps a process for a second before it exits with 0.
	os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	os.Exit(m.Run())
}

// limit is how long a test waits for what must happen: so that a fault shows as
// a failure, not as a test that hangs.
const limit = 20 * time.Second

// tempPath returns the path of a FIFO to be made, in a folder that other users
// can enter.
func tempPath(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	// Of the two, MkdirTemp makes the outer 0700, and the umask may do so with the other.
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755)); err != nil {
		tb.Fatal(err)
	}
	return filepath.Join(dir, "fifo")
}

// create makes a FIFO that is removed when the test ends.
func create(tb testing.TB, path string) *fifo.FIFO {
	tb.Helper()
	f, err := fifo.Create(context.Background(), path, fifo.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = f.Remove() }) // some tests have done so
	return f
}

// pair makes a FIFO and opens both ends.
func pair(tb testing.TB) (*fifo.FIFO, *fifo.Reader, *fifo.Writer) {
	tb.Helper()
	path := tempPath(tb)
	f := create(tb, path)
	w := openWriter(tb, path)
	r, err := f.OpenReader(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { r.Close() })
	return f, r, w
}

func openWriter(tb testing.TB, path string) *fifo.Writer {
	tb.Helper()
	w, err := fifo.OpenWriter(context.Background(), path, fifo.NoWait)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { w.Close() })
	return w
}

// stale leaves a FIFO at path that nobody serves.
func stale(tb testing.TB, path string) {
	tb.Helper()
	if err := unix.Mkfifo(path, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// rawOpen opens path as a program without this package would.
func rawOpen(tb testing.TB, path string, flags int) int {
	tb.Helper()
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		tb.Fatalf("open %s: %v", path, err)
	}
	tb.Cleanup(func() { unix.Close(fd) })
	return fd
}

// send writes messages, each a text.
func send(tb testing.TB, w *fifo.Writer, texts ...string) {
	tb.Helper()
	for _, text := range texts {
		if n, err := w.Write([]byte(text)); n != len(text) || err != nil {
			tb.Fatalf("Write of %d bytes: %d, %v", len(text), n, err)
		}
	}
}

// want checks an error.
func want(tb testing.TB, err error, targets ...error) {
	tb.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			tb.Errorf("error is %v, want one that matches %v", err, target)
		}
	}
}

// within returns what comes from c.
func within[T any](tb testing.TB, c <-chan T) T {
	tb.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(limit):
		tb.Fatalf("nothing has come within %v", limit)
		panic("unreachable")
	}
}

// eventually returns once what is so.
func eventually(tb testing.TB, what string, so func() bool) {
	tb.Helper()
	for end := time.Now().Add(limit); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("not so within %v: %s", limit, what)
		}
	}
}

// blocked runs call in a thread of its own and returns once the kernel says that
// it sleeps in one of the system calls. What call returns comes from the channel.
func blocked(tb testing.TB, call func() error, in ...int) <-chan error {
	tb.Helper()
	result := make(chan error, 1)
	thread := make(chan int)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		thread <- unix.Gettid()
		result <- call()
	}()
	tid := <-thread
	eventually(tb, "the call blocks", func() bool {
		if len(result) > 0 {
			tb.Fatalf("the call did not block, but returned %v", <-result)
		}
		return sleepsIn(os.Getpid(), tid, in...)
	})
	return result
}

// sleepsIn reports whether a thread sleeps in one of the system calls.
func sleepsIn(pid, tid int, calls ...int) bool {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/syscall", pid, tid))
	number, _, _ := strings.Cut(string(text), " ")
	for _, call := range calls {
		if number == strconv.Itoa(call) {
			return true
		}
	}
	return false
}

// anySleepsIn reports how many threads of the process do.
func threadsIn(pid int, calls ...int) (n int) {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, task := range tasks {
		if tid, _ := strconv.Atoi(task.Name()); sleepsIn(pid, tid, calls...) {
			n++
		}
	}
	return n
}

// inPoll is poll(2), which not every architecture has, and ppoll(2).
var inPoll = []int{unix.SYS_PPOLL, sysPoll()}

func sysPoll() int {
	if runtime.GOARCH == "amd64" {
		return 7
	}
	return unix.SYS_PPOLL
}

// descriptors lists what this process has open.
func descriptors(tb testing.TB) string {
	tb.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		tb.Fatal(err)
	}
	var b strings.Builder
	for _, fd := range fds {
		// The one that lists has gone by now.
		if link, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil {
			fmt.Fprintln(&b, fd.Name(), link)
		}
	}
	return b.String()
}

// child is a process that runs a role.
type child struct {
	tb  testing.TB
	cmd *exec.Cmd
	in  io.Closer
	out *bufio.Reader
}

// start starts a role, with files to inherit. The test ends it if it has not
// ended by then.
func start(tb testing.TB, cmd *exec.Cmd) *child {
	tb.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	_ = out.(*os.File).SetReadDeadline(time.Now().Add(limit))
	cmd.Stderr = os.Stderr
	switch err := cmd.Start(); {
	case errors.Is(err, unix.EPERM): // root in a container
		tb.Skip("NOT TESTED: a process with these attributes takes privileges: ", err)
	case err != nil:
		tb.Fatal(err)
	}
	c := &child{tb: tb, cmd: cmd, in: in, out: bufio.NewReader(out)}
	tb.Cleanup(c.kill)
	return c
}

func run(tb testing.TB, role string, args ...string) *child {
	tb.Helper()
	return start(tb, fork.Command(role, args...))
}

func (c *child) pid() int { return c.cmd.Process.Pid }

func (c *child) line() string {
	c.tb.Helper()
	text, err := c.out.ReadString('\n')
	if err != nil {
		c.tb.Fatalf("%s said %q: %v", c.cmd.Args[0], text, err)
	}
	return strings.TrimSuffix(text, "\n")
}

func (c *child) expect(lines ...string) {
	c.tb.Helper()
	for _, line := range lines {
		if got := c.line(); got != line {
			c.tb.Fatalf("%s said %q, want %q", c.cmd.Args[0], got, line)
		}
	}
}

// stop ends the child's stdin, and returns what it says from then on.
func (c *child) stop() string {
	c.tb.Helper()
	c.in.Close()
	text, err := io.ReadAll(c.out)
	if err != nil {
		c.tb.Fatalf("%s said %q: %v", c.cmd.Args[0], text, err)
	}
	if err := c.cmd.Wait(); err != nil {
		c.tb.Errorf("%s: %v", c.cmd.Args[0], err)
	}
	return string(text)
}

func (c *child) kill() {
	if c.cmd.ProcessState == nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
}

// asNobody makes the child one without privileges.
func asNobody(tb testing.TB, cmd *exec.Cmd) *exec.Cmd {
	tb.Helper()
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534, NoSetGroups: false}
	}
	return cmd
}
