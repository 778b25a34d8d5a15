package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/suitetest"
	"example.com/ipcsuite/pkg/fork"
)

// TestMain makes the test binary be pipe-demo, the same on faulty pipes, and the child
// where pipe-demo starts one.
func TestMain(m *testing.M) {
	fork.Dispatch(roles())
	suitetest.MainAs(m, map[string]func(){"pipe-demo": main, "pipe-demo-nonblocking": mainOnOtherPipes})
}

func TestScripts(t *testing.T) {
	suitetest.Scripts(t, testscript.Params{
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("no condition %q", name)
		},
	})
}

// session is a pipe-demo that has printed its first message.
type session struct {
	*suitetest.Process
	child int
}

// start starts one that then sleeps, unless its flags say otherwise.
func start(t *testing.T, flags ...string) session {
	t.Helper()
	p := suitetest.Start(t, "", "pipe-demo", append([]string{"--interval", "1h"}, flags...)...)
	pid := suitetest.Find(t, p.Line(), `^child pid :(\d+)   I am father process : 0$`)
	child, _ := strconv.Atoi(pid) // it is digits
	return session{p, child}
}

func TestParentReportsAChildThatIsKilled(t *testing.T) {
	t.Parallel()
	s := start(t)
	if err := syscall.Kill(s.child, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.Prints(fmt.Sprintf("Child process %d killed by signal : 9 (SIGKILL)", s.child))
	// The first message counts as delivered once the child has said so, which
	// it may not have come to after the line was printed.
	if stderr := s.Ends(1); !regexp.MustCompile("messages not delivered: [67] of 7\n$").MatchString(stderr) {
		t.Errorf("stderr %q does not tell how many messages were lost", stderr)
	}
}

func TestSignalsEndParentAndChild(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.Signal(sig)
			s.Prints("Pipe close, child quit!!!", fmt.Sprintf("Child process %d quit code : 0", s.child))
			s.Ends(128 + int(sig))
		})
	}
}

// Neither the child nor the parent can print any more: the one is killed, and the other
// ends without its last lines.
func TestSignalEndsAPairWhoseStdoutTakesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, "--interval", "0s", "--count", "1000000")
	suitetest.Eventually(t, "the child sleeps in write(2)", func() bool {
		return suitetest.SleepsIn(s.child, unix.SYS_WRITE, 1)
	})
	s.Signal(syscall.SIGTERM)
	suitetest.Contains(t, s.Exit(128+int(syscall.SIGTERM)), "ended by signal SIGTERM: messages not delivered: ")
	if err := syscall.Kill(s.child, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the child is still there: %v", err)
	}
}

func TestStoppedChildIsKilledWhenItsTimeIsUp(t *testing.T) {
	t.Parallel()
	s := start(t)
	suitetest.Stop(t, s.child)
	s.Signal(syscall.SIGTERM)
	s.Prints(fmt.Sprintf("Child process %d killed by signal : 9 (SIGKILL)", s.child))
	s.Ends(128 + int(syscall.SIGTERM))
}

func TestChildEndsWithAParentThatIsKilled(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.Kill()
	s.Prints("Pipe close, child quit!!!")
	s.Ends(-1) // the end of stdout, of which the child held the last copy
}
