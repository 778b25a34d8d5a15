package limits

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fork"
)

// limit is how long a test waits for what must happen: so that a fault shows as
// a failure, not as a test that hangs.
const limit = 20 * time.Second

// bin is where the binaries are.
var bin string

// TestMain builds the binaries, static, so that they run in a folder of their own
// too. The test binary is its own child: see roles_test.go.
func TestMain(m *testing.M) {
	fork.Dispatch(roles)
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	var err error
	if bin, err = os.MkdirTemp("", "limits-test"); err != nil {
		panic(err)
	}
	defer os.RemoveAll(bin)
	syscall.Umask(0o022) // the other users are to run them
	if err := os.Chmod(bin, 0o755); err != nil {
		panic(err)
	}
	for _, name := range []string{"pipe-demo", "fifo-server", "fifo-client", "shm-server", "shm-client"} {
		cmd := exec.Command("go", "build", "-o", bin, ".")
		cmd.Dir = filepath.Join("../..", name)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			panic(fmt.Sprintf("%s: %v: %s", name, err, out))
		}
	}
	os.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	// The race detector would sleep for a second at the end of each process.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	for _, e := range os.Environ() { // the user's own would be obeyed
		if name, _, _ := strings.Cut(e, "="); name != "IPC_REQUIRE_ROOT" && strings.HasPrefix(name, "IPC_") {
			os.Unsetenv(name)
		}
	}
	return m.Run()
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
	if err := as(victim, exec.Command("pipe-demo", "--version")).Run(); err != nil {
		return fmt.Sprintf("uid %d that can reach %s (%v)", victim, bin, err)
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
	dir := t.TempDir()
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

// process is a command at work.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	stdout *bufio.Reader
	stderr *bufio.Reader
}

func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	log, err3 := cmd.StderrPipe()
	if err := errors.Join(err1, err2, err3, cmd.Start()); err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	p := &process{t, cmd, in, bufio.NewReader(out), bufio.NewReader(log)}
	watch := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		watch.Stop()
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return p
}

// says waits for a line on stdout.
func (p *process) says(want string) {
	p.t.Helper()
	if got, err := p.stdout.ReadString('\n'); got != want+"\n" {
		rest, _ := io.ReadAll(p.stderr)
		p.t.Fatalf("%v said %q, %v, want %q\n%s", p.cmd.Args, got, err, want, rest)
	}
}

// logs waits for a line on stderr that has want in it.
func (p *process) logs(want string) {
	p.t.Helper()
	var all strings.Builder
	for {
		line, err := p.stderr.ReadString('\n')
		all.WriteString(line)
		if strings.Contains(line, want) {
			return
		}
		if err != nil {
			p.t.Fatalf("%v: no %q on stderr: %v\n%s", p.cmd.Args, want, err, &all)
		}
	}
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// exits waits for the end, having ended stdin, and returns what was still to be
// read of stdout and stderr.
func (p *process) exits(code int) (stdout, stderr string) {
	p.t.Helper()
	p.in.Close()
	type text struct {
		b   []byte
		err error
	}
	log := make(chan text, 1)
	go func() {
		b, err := io.ReadAll(p.stderr)
		log <- text{b, err}
	}()
	out, err1 := io.ReadAll(p.stdout)
	l := <-log
	_ = p.cmd.Wait() // the code tells
	if err := errors.Join(err1, l.err); err != nil {
		p.t.Fatal(err)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Fatalf("%v: exit code %d, want %d\n%s%s", p.cmd.Args, got, code, out, l.b)
	}
	return string(out), string(l.b)
}

// run runs a command to its end, which is to come with that exit code, and checks
// that its stderr has all of the texts.
func run(t *testing.T, code int, cmd *exec.Cmd, texts ...string) (stdout string) {
	t.Helper()
	stdout, stderr := start(t, cmd).exits(code)
	contains(t, stderr, texts...)
	return stdout
}

func contains(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

// attack runs a command that only the other side's caution makes harmless.
func attack(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	run(t, 0, as(attacker, cmd))
}

// names are those in a folder.
func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// never is a context for calls that do not wait.
var never = context.Background()
