package fork

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// executable leads to the running program itself, also after its file has been
// renamed, replaced or deleted: the kernel follows the link to the open file, not
// to a path (proc(5), /proc/pid/exe).
const executable = "/proc/self/exe"

// Command returns a command that runs role in a child process with args, ready
// for Stdin, Stdout, Stderr and ExtraFiles to be set and to be started. The
// program must call [Dispatch] with that role.
//
// The child is told its role in argv[0], which ps(1) shows as
// "program fork:<parent's pid>:role". Unlike a variable in the environment it is
// not handed on to the child's own children, and unlike an argument it cannot be
// given by mistake.
//
// SysProcAttr is set so that the child does not outlive its parent. Set more of
// its fields if need be, but do not replace it, and give the child no PID namespace
// of its own (CLONE_NEWPID): from there it does not see its parent, and would take
// it for dead.
//
// Errors are reported by Start: when /proc is not mounted, and when this process
// is itself a child whose main has not called Dispatch, as it would start
// children without end.
func Command(role string, args ...string) *exec.Cmd {
	cmd := exec.Command(executable, args...)
	cmd.Args[0] = title{program(), os.Getpid(), role}.String()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGTERM}

	if _, child := parseTitle(os.Args[0]); child {
		cmd.Err = errors.New("fork: a child tries to start children before it runs its role: call fork.Dispatch first thing in main")
	} else if _, err := os.Stat(executable); err != nil {
		cmd.Err = fmt.Errorf("fork: this program's own executable cannot be found, is /proc mounted? %w", err)
	}
	return cmd
}

// FD returns the number that ExtraFiles[i] has in the child: 3+i, after the three
// standard descriptors. Use os.NewFile(uintptr(FD(i)), name) to get a file.
func FD(i int) int { return 3 + i }

// program is the name under which the user started this program.
func program() string {
	// Without spaces, so that a title has one reading only.
	name, _, _ := strings.Cut(filepath.Base(os.Args[0]), " ")
	return name
}

// title is what the argv[0] of a child says.
type title struct {
	program string
	parent  int // pid
	role    string
}

func (t title) String() string {
	return fmt.Sprintf("%s fork:%d:%s", t.program, t.parent, t.role)
}

func parseTitle(argv0 string) (t title, ok bool) {
	program, rest, _ := strings.Cut(argv0, " fork:")
	parent, role, ok := strings.Cut(rest, ":")
	pid, err := strconv.Atoi(parent)
	return title{program, pid, role}, ok && err == nil
}
