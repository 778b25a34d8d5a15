package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"example.com/ipcsuite/internal/explain"
	"example.com/ipcsuite/pkg/fork"
)

// TestMain makes the test binary be pipe-demo where a script calls it, and the
// child where pipe-demo starts one.
func TestMain(m *testing.M) {
	fork.Dispatch(roles())
	if os.Getenv(asPipeDemo) != "" {
		main()
	}
	testscript.Main(tests{m}, map[string]func(){"pipe-demo": main, "pipe-demo-nonblocking": mainOnOtherPipes})
}

// tests are those of m. By the name of a command, testscript.Main does not run them.
type tests struct{ *testing.M }

func (m tests) Run() int {
	for _, e := range os.Environ() { // the user's own would be obeyed
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "IPC_") {
			os.Unsetenv(name)
		}
	}
	return m.M.Run()
}

const asPipeDemo = "TEST_AS_PIPE_DEMO"

// quickExit, as GORACE, keeps the race detector from holding every process for
// a second at its exit, which is longer than the parent waits for its child.
const quickExit = "atexit_sleep_ms=0"

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("no condition %q", name)
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", quickExit)
			return nil
		},
	})
}

// session is a pipe-demo that has printed its first message.
type session struct {
	cmd    *exec.Cmd
	out    *bufio.Scanner
	stderr *strings.Builder
	child  int
}

// start starts one that then sleeps, unless its flags say otherwise.
func start(t *testing.T, flags ...string) *session {
	t.Helper()
	s := &session{stderr: new(strings.Builder)}
	s.cmd = exec.Command("/proc/self/exe", append([]string{"--interval", "1h"}, flags...)...)
	s.cmd.Env = append(os.Environ(), asPipeDemo+"=1", "GORACE="+quickExit)
	s.cmd.Stderr = s.stderr
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	s.out = bufio.NewScanner(stdout)
	if _, err := fmt.Sscanf(s.line(t), "child pid :%d   I am father process : 0", &s.child); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *session) line(t *testing.T) string {
	t.Helper()
	if !s.out.Scan() {
		t.Fatalf("end of output: %v", s.out.Err())
	}
	return s.out.Text()
}

// wait returns the exit code, and fails the test if output is left.
func (s *session) wait(t *testing.T) int {
	t.Helper()
	for s.out.Scan() {
		t.Errorf("one line more: %q", s.out.Text())
	}
	err := s.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return s.cmd.ProcessState.ExitCode()
}

func TestParentReportsAChildThatIsKilled(t *testing.T) {
	t.Parallel()
	s := start(t)
	if err := syscall.Kill(s.child, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got, want := s.line(t), fmt.Sprintf("Child process %d killed by signal : 9 (SIGKILL)", s.child); got != want {
		t.Errorf("got line %q, want %q", got, want)
	}
	if code := s.wait(t); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	// The first message counts as delivered once the child has said so, which
	// it may not have come to after the line was printed.
	if !regexp.MustCompile("messages not delivered: [67] of 7\n$").MatchString(s.stderr.String()) {
		t.Errorf("stderr %q does not tell how many messages were lost", s.stderr)
	}
}

func TestSignalsEndParentAndChild(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			s := start(t)
			if err := s.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if got, want := s.line(t), "Pipe close, child quit!!!"; got != want {
				t.Errorf("got line %q, want %q", got, want)
			}
			if got, want := s.line(t), fmt.Sprintf("Child process %d quit code : 0", s.child); got != want {
				t.Errorf("got line %q, want %q", got, want)
			}
			if code, want := s.wait(t), 128+int(sig); code != want {
				t.Errorf("exit code %d, want %d", code, want)
			}
		})
	}
}

// Neither the child nor the parent can print any more: the one is killed, and the other
// ends without its last lines.
func TestSignalEndsAPairWhoseStdoutTakesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, "--interval", "0s", "--count", "1000000")
	explain.Waiting(t.Context(), s.child, "write", 1)
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	watch := time.AfterFunc(time.Minute, func() { _ = s.cmd.Process.Kill() })
	defer watch.Stop()
	_ = s.cmd.Wait() // the code tells
	if code, want := s.cmd.ProcessState.ExitCode(), 128+int(syscall.SIGTERM); code != want {
		t.Errorf("exit code %d, want %d", code, want)
	}
	if !strings.Contains(s.stderr.String(), "ended by signal SIGTERM: messages not delivered: ") {
		t.Errorf("stderr %q does not tell how many messages were lost", s.stderr)
	}
	if err := syscall.Kill(s.child, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the child is still there: %v", err)
	}
}

func TestStoppedChildIsKilledWhenItsTimeIsUp(t *testing.T) {
	t.Parallel()
	s := start(t)
	if err := syscall.Kill(s.child, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for !stopped(t, s.child) { // it takes its time to stop on another processor
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got, want := s.line(t), fmt.Sprintf("Child process %d killed by signal : 9 (SIGKILL)", s.child); got != want {
		t.Errorf("got line %q, want %q", got, want)
	}
	if code, want := s.wait(t), 128+int(syscall.SIGTERM); code != want {
		t.Errorf("exit code %d, want %d", code, want)
	}
}

func stopped(t *testing.T, pid int) bool {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(stat), ") T ")
}

func TestChildEndsWithAParentThatIsKilled(t *testing.T) {
	t.Parallel()
	s := start(t)
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if got, want := s.line(t), "Pipe close, child quit!!!"; got != want {
		t.Errorf("got line %q, want %q", got, want)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.wait(t) // the end of output: the child held the last copy of stdout
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the child lives on")
	}
}
