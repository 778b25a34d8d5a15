package limits

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/suitetest"
	"example.com/ipcsuite/pkg/fork"
)

// TestMain builds static binaries, which also run in a root directory of their own. The
// test binary is its own child: see roles_test.go.
func TestMain(m *testing.M) {
	fork.Dispatch(roles)
	os.Exit(suitetest.MainStatic(m, "pipe-demo", "fifo-server", "fifo-client", "shm-server", "shm-client"))
}

// needRoot skips a test that cannot do without, nor without what containers take from
// root.
func needRoot(t *testing.T) {
	t.Helper()
	if what := lacking(); what != "" {
		notTested(t, "needs "+what+", to be other users, to look into their processes and to make namespaces")
	}
}

// notTested skips a test. Where that must not happen, it fails.
func notTested(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("IPC_REQUIRE_ROOT") == "1" {
		t.Fatal("IPC_REQUIRE_ROOT=1, and NOT TESTED: " + why)
	}
	t.Skip("NOT TESTED: " + why)
}

// lacking is what the tests of root would fail for.
var lacking = sync.OnceValue(func() string {
	if os.Geteuid() != 0 {
		return "root"
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return err.Error()
	}
	for name, bit := range map[string]int{"CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN, "CAP_SYS_PTRACE": unix.CAP_SYS_PTRACE, "CAP_IPC_OWNER": unix.CAP_IPC_OWNER} {
		if caps[0].Effective&(1<<bit) == 0 {
			return name
		}
	}
	// In a user namespace there need not be other users, and TMPDIR can be closed to them.
	cmd := as(victim, exec.Command("pipe-demo", "--version"))
	if err := cmd.Run(); err != nil {
		return fmt.Sprintf("uid %d that can run %s (%v)", victim, cmd.Path, err)
	}
	return ""
})

// Users without privileges, who have nothing in common.
const (
	victim   = 65532
	attacker = 65533
	hoarder  = 64531 // has no room left for pipes
)

// as makes a command one of a user's.
func as(uid uint32, cmd *exec.Cmd) *exec.Cmd {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: uid}
	return cmd
}

// shell is a script, with $1 and so on.
func shell(script string, args ...string) *exec.Cmd {
	return exec.Command("sh", append([]string{"-euc", script, "sh"}, args...)...)
}

// folder makes one that all users can reach, with this owner and mode.
func folder(t *testing.T, uid int, mode uint32) string {
	t.Helper()
	dir := suitetest.Dir(t)
	if err := errors.Join(
		os.Chmod(filepath.Dir(dir), 0o755), // MkdirTemp makes it 0700
		os.Chown(dir, uid, uid),
		syscall.Chmod(dir, mode),
	); err != nil {
		t.Fatal(err)
	}
	return dir
}

// sticky makes a folder like /tmp.
func sticky(t *testing.T) string {
	t.Helper()
	return folder(t, 0, 0o1777)
}

// run runs a command to its end, which must come with that exit code, and returns what it
// printed. All the parts must be on its stderr.
func run(t *testing.T, code int, cmd *exec.Cmd, parts ...string) (stdout string) {
	t.Helper()
	p := suitetest.StartCmd(t, "", cmd)
	stdout = p.EOF().Rest()
	suitetest.Contains(t, p.Exit(code), parts...)
	return stdout
}

// transfer runs a server and its client to their end, and returns what the server has
// printed. They leave nothing in dir.
func transfer(t *testing.T, dir string, server, client *exec.Cmd) (stdout string) {
	t.Helper()
	s := suitetest.StartCmd(t, dir, server)
	s.Await("waiting for a client")
	c := suitetest.StartCmd(t, dir, client)
	stdout = s.Rest()
	s.Exit(0)
	c.Ends(0)
	suitetest.Clean(t, dir, s, c)
	return stdout
}

// startRole starts one of roles as a user, and returns when it has said the word.
func startRole(t *testing.T, uid uint32, word, role string, args ...string) *suitetest.Process {
	t.Helper()
	p := suitetest.StartCmd(t, "", as(uid, fork.Command(role, args...)))
	p.Prints(word)
	return p
}

// attack runs a command that only the other side's caution makes harmless.
func attack(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	run(t, 0, as(attacker, cmd))
}

// never is a context for calls that do not wait.
var never = context.Background()
