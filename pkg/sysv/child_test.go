package sysv

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A test that needs a namespace of its own, or no privileges, runs itself again in a
// process that has: childEnv is set there, to whatever the parent wants its child to know.
const childEnv = "SYSV_TEST_CHILD"

// child prepares a process that runs only the calling test, in which
// os.Getenv(childEnv) is arg.
func child(t *testing.T, arg string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"="+arg)
	return cmd
}

// runChild runs cmd to its end and makes its verdict that of t.
func runChild(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	switch {
	case cmd.Process == nil && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC)):
		// ENOSPC is a limit on the number of namespaces.
		t.Skipf("NOT TESTED, the kernel refuses such a process: %v", err)
	case err != nil:
		t.Fatalf("child: %v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("child:\n%s", out)
	case !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Fatalf("child did not run the test:\n%s", out)
	}
}

const ownNamespace = "in an IPC namespace of its own"

// inNamespace reports whether this process is a child in an empty IPC namespace
// of its own. If not, it runs the test in such a child, and the caller returns.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(childEnv) == ownNamespace {
		return true
	}
	cmd := child(t, ownNamespace)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWIPC}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	runChild(t, cmd)
	return false
}

// sysctl sets a parameter of the child's own namespace.
func sysctl(t *testing.T, name, value string) {
	t.Helper()
	if os.Getenv(childEnv) != ownNamespace {
		t.Fatal("this would change the whole machine")
	}
	err := os.WriteFile("/proc/sys/kernel/"+name, []byte(value), 0)
	for _, no := range []error{unix.EACCES, unix.EPERM, unix.EROFS} {
		if errors.Is(err, no) {
			t.Skipf("NOT TESTED, limits cannot be set here: %v", err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// dropRoot makes a child that runs as root one that may do nothing special.
func dropRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	const nobody = 65534
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody)); err != nil {
		t.Fatal(err)
	}
}
