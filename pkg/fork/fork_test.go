package fork_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fork"
	"example.com/ipcsuite/pkg/internal/ipctest"
)

// The test binary is its own child.
func TestMain(m *testing.M) {
	ipctest.Main(m, fork.Roles{
		"greeter":     greeter,
		"exit":        exit,
		"report":      report,
		oddRole:       report,
		"echo":        echo,
		"append":      appendToFile,
		"cloexec":     closeOnExec,
		"epipe":       writeToClosedStdout,
		"family":      family,
		"orphan":      orphan,
		"stuck":       stuck,
		"interrupted": interrupted,
	})
}

const oddRole = "a role: fork:1:x"

func exit(_ context.Context, args []string) int {
	code, _ := strconv.Atoi(args[0])
	return code
}

// self is how a child sees itself.
type self struct {
	Args   []string // the role's
	OSArgs []string
	Title  string // argv[0], from the kernel
	Comm   string
}

func report(_ context.Context, args []string) int {
	cmdline, _ := os.ReadFile("/proc/self/cmdline")
	comm, _ := os.ReadFile("/proc/self/comm")
	title, _, _ := strings.Cut(string(cmdline), "\x00")
	s := self{args, os.Args, title, strings.TrimSpace(string(comm))}
	if err := gob.NewEncoder(os.Stdout).Encode(s); err != nil {
		return 1
	}
	return 0
}

// echo lives until its standard input ends and then says whether it was told
// meanwhile that its parent had died.
func echo(ctx context.Context, _ []string) int {
	if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
		return 1
	}
	if ctx.Err() != nil {
		return 9
	}
	return 0
}

func appendToFile(_ context.Context, args []string) int {
	if _, err := unix.Write(fork.FD(0), []byte(args[0])); err != nil {
		return 1
	}
	return 0
}

func closeOnExec(context.Context, []string) int {
	flags, err := unix.FcntlInt(uintptr(fork.FD(0)), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		return 1
	}
	return 0
}

func writeToClosedStdout(context.Context, []string) int {
	if _, err := fmt.Println("hello"); errors.Is(err, unix.EPIPE) {
		return 32
	}
	return 1
}

// family runs the role args[0] in a child of its own, on its own standard
// input and output, and passes on the exit code.
func family(_ context.Context, args []string) int {
	child := fork.Command(args[0])
	child.Stdin, child.Stdout = os.Stdin, os.Stdout
	_ = child.Run()
	return child.ProcessState.ExitCode()
}

// orphan lives until its parent has died.
func orphan(ctx context.Context, _ []string) int {
	fmt.Println("ready")
	<-ctx.Done()
	fmt.Println(context.Cause(ctx))
	return 0
}

// stuck does not care.
func stuck(context.Context, []string) int {
	fmt.Println("ready")
	for {
		_ = unix.Pause()
	}
}

// interrupted is echo after a SIGTERM has come.
func interrupted(ctx context.Context, args []string) int {
	term := make(chan os.Signal, 1)
	signal.Notify(term, unix.SIGTERM)
	fmt.Println("ready")
	<-term
	fmt.Println("SIGTERM")
	return echo(ctx, args)
}

func TestChildReturnsTheExitCodeOfItsRole(t *testing.T) {
	for _, code := range []int{0, 1, 7, 255} {
		cmd := fork.Command("exit", strconv.Itoa(code))
		_ = cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Errorf("exit code %d, want %d", got, code)
		}
	}
}

func TestArgumentsArriveIntact(t *testing.T) {
	withArgv0(t, "./program")
	tests := map[string][]string{
		"none":           {},
		"empty":          {"", "", ""},
		"spaces":         {" a  b ", "\t"},
		"newlines":       {"one\ntwo\n", "\r\n"},
		"dashes":         {"--help", "-test.run=x", "--", "-"},
		"not UTF-8":      {"\xff\xfe"},
		"a look-alike":   {"program fork:1:exit", "fork:1:exit"},
		"long":           {strings.Repeat("x", 100_000)},
		"shell specials": {"$HOME", "`id`", "*", "'\"\\"},
	}
	for name, args := range tests {
		t.Run(name, func(t *testing.T) {
			got := runReport(t, "report", args...)
			if !slices.Equal(got.Args, args) {
				t.Errorf("role got %.100q, want %.100q", got.Args, args)
			}
			if want := append([]string{"program"}, args...); !slices.Equal(got.OSArgs, want) {
				t.Errorf("os.Args is %.100q, want %.100q", got.OSArgs, want)
			}
		})
	}
}

func TestChildIsCalledByItsProgramAndRole(t *testing.T) {
	tests := []struct{ argv0, role, program, comm string }{
		{"program", "report", "program", "program"},
		{"/usr/bin/program", oddRole, "program", "program"},
		{"/opt/my programs/sixteen-letters1", "report", "sixteen-letters1", "sixteen-letters"},
		{"/opt/an odd name", "report", "an", "an"},
	}
	for _, tt := range tests {
		withArgv0(t, tt.argv0)
		got := runReport(t, tt.role)
		if want := fmt.Sprintf("%s fork:%d:%s", tt.program, os.Getpid(), tt.role); got.Title != want {
			t.Errorf("%s: child's argv[0] is %q, want %q", tt.argv0, got.Title, want)
		}
		if got.Comm != tt.comm {
			t.Errorf("%s: child's comm is %q, want %q", tt.argv0, got.Comm, tt.comm)
		}
	}
}

func TestUnknownRoleIsAUsageError(t *testing.T) {
	cmd := fork.Command("nonesuch")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	_ = cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != 2 {
		t.Errorf("exit code %d, want 2", got)
	}
	if got := stderr.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"nonesuch"`) {
		t.Errorf("standard error is %q, want one line that names the role", got)
	}
}

func TestChildThatForgotDispatchCannotStartChildren(t *testing.T) {
	withArgv0(t, fork.Command("echo").Args[0])
	if err := fork.Command("echo").Start(); err == nil || !strings.Contains(err.Error(), "fork.Dispatch") {
		t.Errorf("error is %v, want one that names fork.Dispatch", err)
	}
}

func TestInheritedDescriptorSharesTheFileOffset(t *testing.T) {
	f := createFile(t)
	fmt.Fprint(f, "parent, ")
	cmd := fork.Command("append", "child, ")
	cmd.ExtraFiles = []*os.File{f}
	ipctest.Must(t, cmd.Run())
	fmt.Fprint(f, "parent")
	if got, _ := os.ReadFile(f.Name()); string(got) != "parent, child, parent" {
		t.Errorf("file holds %q", got)
	}
}

func TestInheritedDescriptorSharesTheOpenFileDescription(t *testing.T) {
	inherited := createFile(t)
	opened, err := os.Open(inherited.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	cmd := fork.Command("echo")
	cmd.ExtraFiles = []*os.File{inherited}
	startEcho(t, cmd)

	same := func(f *os.File) bool {
		return ipctest.SameDescription(t, int(f.Fd()), cmd.Process.Pid, fork.FD(0))
	}
	if !same(inherited) {
		t.Error("kcmp(KCMP_FILE) says that the inherited descriptor has another description")
	}
	if same(opened) {
		t.Error("kcmp(KCMP_FILE) says that a second open(2) has the same description")
	}
}

func TestStartingAChildPutsItsPipesIntoBlockingMode(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	nonblocking := func() bool {
		conn, err := r.SyscallConn() // unlike Fd, leaves the mode alone
		if err != nil {
			t.Fatal(err)
		}
		var flags int
		ipctest.Must(t, conn.Control(func(fd uintptr) { flags, err = unix.FcntlInt(fd, unix.F_GETFL, 0) }))
		return flags&unix.O_NONBLOCK != 0
	}
	before := nonblocking()
	cmd := fork.Command("exit", "0")
	cmd.ExtraFiles = []*os.File{r}
	ipctest.Must(t, cmd.Run())
	if after := nonblocking(); !before || after {
		t.Errorf("non-blocking before %v, after %v; the package documentation says true, false", before, after)
	}
}

func TestInheritedDescriptorsAreNotHandedOn(t *testing.T) {
	if err := unix.CloseRange(1<<20, 1<<20, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		t.Skipf("close_range: %v", err)
	}
	cmd := fork.Command("cloexec")
	cmd.ExtraFiles = []*os.File{createFile(t)}
	if err := cmd.Run(); err != nil {
		t.Errorf("the inherited descriptor is not close-on-exec: %v", err)
	}
}

func TestChildSeesEPIPEWhenItsStdoutIsClosed(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	cmd := fork.Command("epipe")
	cmd.Stdout = w
	_ = cmd.Run()
	if got := cmd.ProcessState; got.ExitCode() != 32 {
		t.Errorf("child ended with %v, want exit status 32", got)
	}
}

func TestChildEndsWhenItsParentIsKilled(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"orphan", "stuck"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			c := ipctest.Run(t, "family", role)
			c.Expect("ready")
			ipctest.Must(t, c.Cmd.Process.Kill())
			want := ""
			if role == "orphan" {
				want = fmt.Sprintf("parent process %d has died\n", c.PID())
			}
			// The orphan holds the last write end, so the rest ends when it does.
			if said := c.Rest(); said != want {
				t.Errorf("the orphan said %q, want %q", said, want)
			}
		})
	}
}

func TestChildEndsWhenItsParentDiedBeforeItLooked(t *testing.T) {
	dead := fork.Command("exit", "0")
	ipctest.Must(t, dead.Run())
	cmd := fork.Command("orphan")
	pid := func(p int) string { return fmt.Sprintf(":%d:", p) }
	cmd.Args[0] = strings.Replace(cmd.Args[0], pid(os.Getpid()), pid(dead.Process.Pid), 1)
	ipctest.Start(t, cmd).Expect("ready", fmt.Sprintf("parent process %d has died", dead.Process.Pid))
}

func TestSignalsToTheGroupDoNotEndAChildWhoseParentLives(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			cmd := fork.Command("family", "echo")
			cmd.SysProcAttr.Setpgid = true // not the group of go test
			ask := startEcho(t, cmd)
			for range 3 {
				ipctest.Must(t, unix.Kill(-cmd.Process.Pid, sig))
				ask("still there?")
			}
		})
	}
}

func TestEndOfTheThreadThatStartedAChildDoesNotEndTheChild(t *testing.T) {
	var c *ipctest.Child
	onThreadThatEnds(func() {
		c = ipctest.Run(t, "interrupted")
		c.Expect("ready") // for the signal
	})
	if t.Failed() {
		return
	}
	c.Expect("SIGTERM")
	fmt.Fprintln(c.Stdin, "still there?")
	c.Expect("still there?")
	c.Ends() // with success, as its parent has not ended
}

// onThreadThatEnds runs f on a thread that exits when f has returned.
func onThreadThatEnds(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() { // the runtime keeps the first thread
			defer runtime.UnlockOSThread()
			onThreadThatEnds(f)
			return
		}
		f()
	}()
	<-done
}

func withArgv0(t *testing.T, argv0 string) {
	saved := os.Args[0]
	t.Cleanup(func() { os.Args[0] = saved })
	os.Args[0] = argv0
}

func createFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func runReport(t *testing.T, role string, args ...string) (s self) {
	t.Helper()
	out, err := fork.Command(role, args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	ipctest.Must(t, gob.NewDecoder(bytes.NewReader(out)).Decode(&s))
	return s
}

// startEcho starts cmd, which runs echo, and returns once it does. The function
// returned asks it for an answer; when the test ends, it must end with success.
func startEcho(t *testing.T, cmd *exec.Cmd) (ask func(string)) {
	t.Helper()
	c := ipctest.Start(t, cmd)
	ask = func(line string) {
		t.Helper()
		fmt.Fprintln(c.Stdin, line)
		c.Expect(line)
	}
	ask("ready?")
	t.Cleanup(func() { c.Ends() })
	return ask
}

// BenchmarkStart starts a child that does nothing, and waits for its end.
func BenchmarkStart(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		ipctest.Must(b, fork.Command("exit", "0").Run())
	}
}
