package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"example.com/ipcsuite/pkg/sysv"
)

// TestMain builds shm-server and shm-client, which are tested together here,
// and puts them in the path.
func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	bin, err := os.MkdirTemp("", "shm-test")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(bin)
	syscall.Umask(0o022) // another user is to run them, in some tests
	if err := os.Chmod(bin, 0o755); err != nil {
		panic(err)
	}
	for _, dir := range []string{".", "../shm-client"} {
		args := []string{"build", "-o", bin}
		if withRace() {
			args = append(args, "-race")
		}
		cmd := exec.Command("go", append(args, ".")...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			panic(fmt.Sprintf("%v: %s", err, out))
		}
	}
	os.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	// The race detector would sleep for a second at the end of each process.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Unsetenv("XDG_RUNTIME_DIR")
	for _, e := range os.Environ() { // the user's own would be obeyed
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "IPC_") {
			os.Unsetenv(name)
		}
	}
	return m.Run()
}

func withRace() bool {
	info, ok := debug.ReadBuildInfo()
	for _, s := range info.Settings {
		if ok && s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", os.Getenv("GORACE"))
			env.Setenv("IPC_DIR", filepath.Join(env.WorkDir, "dir"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"clean":   cmdClean,
			"segment": cmdSegment,
		},
	})
}

// cmdClean is the command "clean FOLDER": it fails if a server has left
// something, FIFO or segment.
func cmdClean(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(clean(ts.MkAbs(args[0])))
}

func clean(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if f.Type()&os.ModeNamedPipe != 0 {
			return fmt.Errorf("a FIFO is left: %s", f.Name())
		}
	}
	key, err := sysv.Ftok(dir, 306)
	if err != nil {
		return err
	}
	if info, found, err := findKey(key); found || err != nil {
		return fmt.Errorf("a segment is left: %v, %w", info, err)
	}
	return nil
}

// cmdSegment is the command "segment FOLDER SIZE": it makes what a dead server
// could have left. At the end of the script it is removed.
func cmdSegment(ts *testscript.TestScript, _ bool, args []string) {
	key, err := sysv.Ftok(ts.MkAbs(args[0]), 306)
	ts.Check(err)
	size := 0
	_, err = fmt.Sscan(args[1], &size)
	ts.Check(err)
	segment, err := sysv.Create(key, size, 0o600)
	ts.Check(err)
	ts.Setenv("SHMID", fmt.Sprint(segment.ID()))
	ts.Setenv("KEY", key.String())
	ts.Defer(func() { _ = segment.Remove() })
}

// newDir returns a folder for a server and its clients, of whose key there is no
// segment; nor is there one when the test has ended. A killed server leaves its own,
// and the inode of a folder that is gone, and with it the key, is soon another
// test's.
func newDir(t *testing.T) string {
	t.Helper()
	for {
		dir := t.TempDir()
		key, err := sysv.Ftok(dir, 306)
		if err != nil {
			t.Fatal(err)
		}
		switch _, found, err := findKey(key); {
		case err != nil:
			t.Fatal(err)
		case !found:
			t.Cleanup(func() { removeLeft(t, key) })
			return dir
		}
	}
}

// removeLeft removes the segment of a dead server, if there is one.
func removeLeft(t *testing.T, key sysv.Key) {
	t.Helper()
	info, found, err := findKey(key)
	if found && info.Attached == 0 {
		var segment *sysv.Segment
		if segment, err = sysv.OpenID(info.ID); err == nil {
			err = segment.Remove()
		}
	}
	if err != nil {
		t.Error(err)
	}
}

// process is a shm-server or shm-client that a test talks to.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	stdout io.Closer
	out    *bufio.Reader // stdout
	log    *bufio.Reader // stderr
}

// start starts a process, whose --dir is dir.
func start(t *testing.T, dir, name string, args ...string) *process {
	t.Helper()
	return startAs(t, nil, dir, name, args...)
}

func startAs(t *testing.T, attr *syscall.SysProcAttr, dir, name string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "IPC_DIR="+dir)
	cmd.SysProcAttr = attr
	return launch(t, cmd)
}

// launch starts a process with pipes, in place of stdin and stdout where those
// are not set.
func launch(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	var in io.WriteCloser
	var out io.ReadCloser
	var err1, err2 error
	if cmd.Stdin == nil {
		in, err1 = cmd.StdinPipe()
	}
	if cmd.Stdout == nil {
		out, err2 = cmd.StdoutPipe()
	}
	log, err3 := cmd.StderrPipe()
	if err := errors.Join(err1, err2, err3, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd, in, out, bufio.NewReader(out), bufio.NewReader(log)}
	t.Cleanup(p.kill)
	return p
}

// kill is kill -9, and returns when the process is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	_ = p.cmd.Wait()
}

func (p *process) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// say writes lines to stdin.
func (p *process) say(t *testing.T, lines ...string) {
	t.Helper()
	if _, err := io.WriteString(p.in, strings.Join(lines, "\n")+"\n"); err != nil {
		t.Fatal(err)
	}
}

// prints waits for lines on stdout.
func (p *process) prints(t *testing.T, lines ...string) {
	t.Helper()
	for _, want := range lines {
		if got, err := p.out.ReadString('\n'); got != want+"\n" {
			rest, _ := io.ReadAll(p.log)
			t.Fatalf("printed %q, %v, want %q\n%s", got, err, want, rest)
		}
	}
}

// logs waits for a line on stderr that has want in it.
func (p *process) logs(t *testing.T, want string) string {
	t.Helper()
	var all strings.Builder
	for {
		line, err := p.log.ReadString('\n')
		all.WriteString(line)
		if strings.Contains(line, want) {
			return line
		}
		if err != nil {
			t.Fatalf("no %q on stderr: %v\n%s", want, err, &all)
		}
	}
}

// ends waits for the end of the process, which prints nothing more on stdout,
// and returns what it still says on stderr.
func (p *process) ends(t *testing.T, code int) string {
	t.Helper()
	p.in.Close()
	out, err1 := io.ReadAll(p.out)
	log, err2 := io.ReadAll(p.log)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait() // the code tells
	if got := p.cmd.ProcessState.ExitCode(); got != code || len(out) > 0 {
		t.Fatalf("exit code %d, want %d; printed %q\n%s", got, code, out, log)
	}
	return string(log)
}

func contains(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}
