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
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// limit is how long a test waits for what must happen: so that a fault shows as
// a failure, not as a test that hangs.
const limit = 20 * time.Second

// The tests run fifo-server and fifo-client as a user does, and the chapter pipe-demo.
func TestMain(m *testing.M) {
	syscall.Umask(0o022) // other users are to run the binaries too
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "fifo-server-test-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o755); err != nil {
			panic(err)
		}
		build := exec.CommandContext(context.Background(), "go", "build", "-o", dir, ".", "../fifo-client", "../pipe-demo")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		os.Setenv("PATH", dir+":"+os.Getenv("PATH"))
		for _, e := range os.Environ() { // the user's own would be obeyed
			if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "IPC_") || name == "NO_COLOR" {
				os.Unsetenv(name)
			}
		}
		return m.Run()
	}())
}

// The scripts have a folder in $IPC_DIR, which they must leave empty.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			dir := filepath.Join(env.WorkDir, "run")
			env.Setenv("IPC_DIR", dir)
			env.Setenv("FIFO", filepath.Join(dir, "fifo.ipc"))
			return os.Mkdir(dir, 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// serving [ARG ...] waits until fifo-server health ARG ... says so.
			"serving": func(ts *testscript.TestScript, neg bool, args []string) {
				for end := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
					if ts.Exec("fifo-server", append([]string{"health"}, args...)...) == nil {
						return
					}
					if neg || time.Now().After(end) {
						ts.Fatalf("no server")
					}
				}
			},
			// empty DIR fails if something is in the folder.
			"empty": func(ts *testscript.TestScript, neg bool, args []string) {
				entries, err := os.ReadDir(ts.MkAbs(args[0]))
				ts.Check(err)
				if neg == (len(entries) == 0) {
					ts.Fatalf("%s holds %v", args[0], entries)
				}
			},
			// mkfifo PATH
			"mkfifo": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(unix.Mkfifo(ts.MkAbs(args[0]), 0o600))
			},
		},
	})
}

// process is a binary at work.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader // not of all: see start
	pipe   *os.File      // what stdout reads
	logs   *logs
	ended  chan struct{}
}

// logs is what a process has written to stderr.
type logs struct {
	text  bytes.Buffer
	lines chan string
}

func newDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// start starts a binary with dir as IPC_DIR. Its stdout is a pipe, of which the
// test is the only reader.
func start(t *testing.T, dir, name string, args ...string) *process {
	t.Helper()
	return startCmd(t, dir, exec.CommandContext(context.Background(), name, args...))
}

func startCmd(t *testing.T, dir string, cmd *exec.Cmd) *process {
	t.Helper()
	cmd.Env = append(os.Environ(), "IPC_DIR="+dir)
	p := &process{t: t, cmd: cmd, ended: make(chan struct{}), logs: &logs{lines: make(chan string, 1000)}}
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.pipe, p.stdout, cmd.Stdout = r, bufio.NewReader(r), w
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		for s := bufio.NewScanner(stderr); s.Scan(); {
			p.logs.lines <- s.Text()
		}
		close(p.logs.lines)
		_ = cmd.Wait() // its state tells
	}()
	t.Cleanup(func() {
		// Whatever has failed, nothing is to stay. Readers come first: they
		// may be stopped, and are found by the pid of their server.
		for _, pid := range readers(cmd.Process.Pid) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		_ = cmd.Process.Kill()
		<-p.ended
		r.Close()
	})
	return p
}

// await returns the part in parentheses of the next line of stderr that matches.
func (p *process) await(pattern string) string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	for timeout := time.After(limit); ; {
		select {
		case line, ok := <-p.logs.lines:
			if !ok {
				p.t.Fatalf("%s ended without saying %q; it said:\n%s", p.cmd.Path, pattern, p.logs.text.String())
			}
			fmt.Fprintln(&p.logs.text, line)
			if m := re.FindStringSubmatch(line); m != nil {
				return m[len(m)-1]
			}
		case <-timeout:
			p.t.Fatalf("%s has not said %q; it said:\n%s", p.cmd.Path, pattern, p.logs.text.String())
		}
	}
}

// exit waits for the end of the process, which must have that exit code, and
// returns what it has said on stderr.
func (p *process) exit(code int) string {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(limit):
		p.t.Fatalf("%s has not ended", p.cmd.Path)
	}
	for line := range p.logs.lines {
		fmt.Fprintln(&p.logs.text, line)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Errorf("%s: %v, want exit status %d; stderr:\n%s", p.cmd.Path, p.cmd.ProcessState, code, p.logs.text.String())
	}
	return p.logs.text.String()
}

// says checks that text has a line that matches, and returns the number in it.
func says(t *testing.T, text, pattern string) int {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("%q is not said in:\n%s", pattern, text)
	}
	n, _ := strconv.Atoi(m[len(m)-1])
	return n
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// send writes lines to stdin.
func (p *process) send(lines ...string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, strings.Join(lines, "\n")+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// line returns the next line of stdout.
func (p *process) line() string {
	p.t.Helper()
	_ = p.pipe.SetReadDeadline(time.Now().Add(limit))
	text, err := p.stdout.ReadString('\n')
	if err != nil {
		p.t.Fatalf("stdout of %s: %q, %v", p.cmd.Path, text, err)
	}
	return strings.TrimSuffix(text, "\n")
}

// rest returns all of stdout, to its end, which comes when the server and all
// its readers have ended.
func (p *process) rest() string {
	p.t.Helper()
	_ = p.pipe.SetReadDeadline(time.Now().Add(limit))
	text, err := io.ReadAll(p.stdout)
	if err != nil {
		p.t.Fatalf("stdout of %s: %q, %v", p.cmd.Path, text, err)
	}
	return string(text)
}

var messageLine = regexp.MustCompile(`^\[ (\d+) \] client say : ((?s).*)$`)

// expectMessage checks the next line of stdout, and returns the reader's pid.
func (p *process) expectMessage(text string) (pid int) {
	p.t.Helper()
	line := p.line()
	m := messageLine.FindStringSubmatch(line)
	if m == nil || m[2] != text {
		p.t.Fatalf("stdout is %.80q, want message %.80q", line, text)
	}
	pid, _ = strconv.Atoi(m[1])
	return pid
}

// readers returns the pids of the reader processes of a server.
func readers(server int) (pids []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		cmdline, _ := os.ReadFile(dir + "/cmdline")
		if strings.HasPrefix(string(cmdline), fmt.Sprintf("fifo-server fork:%d:", server)) {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			pids = append(pids, pid)
		}
	}
	return pids
}

// eventually returns once what is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so within %v: %s", limit, what)
		}
	}
}

// sleepsIn reports whether a thread of the process sleeps in a system call, with
// those first arguments.
func sleepsIn(pid, call int, arguments ...int) bool {
	want := fmt.Sprintf("%d ", call)
	for _, a := range arguments {
		want += fmt.Sprintf("%#x ", a)
	}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		if strings.HasPrefix(string(text), want) {
			return true
		}
	}
	return false
}

// asleep waits until the server has n readers, all asleep in read(2) on the FIFO.
func asleep(t *testing.T, server *process, n int) (pids []int) {
	t.Helper()
	const fifo = 3 // fork.FD(0)
	eventually(t, fmt.Sprintf("%d readers are asleep in read(2)", n), func() bool {
		pids = readers(server.pid())
		for _, pid := range pids {
			if !sleepsIn(pid, unix.SYS_READ, fifo) {
				return false
			}
		}
		return len(pids) == n
	})
	return pids
}

// expectNothingLeft checks that a server that has ended has left no FIFO and no
// process.
func expectNothingLeft(t *testing.T, dir string, servers ...*process) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("%s holds %v (%v)", dir, entries, err)
	}
	for _, s := range servers {
		if pids := readers(s.pid()); len(pids) > 0 {
			t.Errorf("readers %v are left", pids)
		}
	}
}

// expectServes checks that another server can start there, serves, and leaves
// nothing.
func expectServes(t *testing.T, dir string, takesOver bool) {
	t.Helper()
	s := start(t, dir, "fifo-server")
	c := start(t, dir, "fifo-client", "--wait", "20s", "still alive?")
	c.exit(0)
	expectLines(t, s.rest(), 3, one("still alive?"))
	if text := s.exit(0); strings.Contains(text, "took over") != takesOver {
		t.Errorf("took over: want %v; it said:\n%s", takesOver, text)
	}
	expectNothingLeft(t, dir, s)
}

const eofLine = "read end of file, client quit, server quit too\n"
