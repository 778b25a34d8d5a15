package explain_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/explain"
	"example.com/ipcsuite/internal/proc"
	"example.com/ipcsuite/internal/suitetest"
)

func TestPrintPrefixesEveryLine(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	explain.If(true, &out).Print("one", "two")
	if got, want := out.String(), "  ⇒ one\n  ⇒ two\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func newPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// startOn starts a process that reads the pipe.
func startOn(t *testing.T, r *os.File) *suitetest.Process {
	t.Helper()
	cat := exec.Command("cat")
	cat.Stdin = r
	return suitetest.StartCmd(t, "", cat)
}

func object(t *testing.T, fd int) proc.Object {
	t.Helper()
	o, err := proc.ObjectOf(fd)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestBothEndsOfAPipeAreOneObject(t *testing.T) {
	t.Parallel()
	r, w := newPipe(t)
	readEnd, writeEnd := object(t, int(r.Fd())), object(t, int(w.Fd()))
	if readEnd.String() != writeEnd.String() || !strings.HasPrefix(readEnd.String(), "pipe:[") {
		t.Errorf("the ends are %v and %v, want one pipe", readEnd, writeEnd)
	}
	wantLine(t, explain.Node(readEnd), `^pipe:\[(\d+)\] is a FIFO: inode \d+ on device 0:\d+, size 0, 0 blocks on disk$`)
}

func TestHoldersNamesTheDescriptorsOfEachProcess(t *testing.T) {
	t.Parallel()
	r, w := newPipe(t)
	child := startOn(t, r)
	pipe := object(t, int(r.Fd()))
	lines := explain.Holders(pipe, os.Getpid(), child.PID())
	wantLine(t, lines[0], fmt.Sprintf(`^process %d has pipe:\[\d+\] open: descriptor \d+ \((read|write) end\), descriptor \d+ \((read|write) end\)$`, os.Getpid()))
	wantLine(t, lines[1], fmt.Sprintf(`^process %d has pipe:\[\d+\] open: descriptor 0 \(read end\)$`, child.PID()))

	w.Close()
	r.Close()
	wantLine(t, explain.Holders(pipe, os.Getpid())[0], `does not have pipe:\[\d+\] open$`)
	child.Exit(0)
	wantLine(t, explain.Holders(pipe, child.PID())[0], `cannot be seen: .*no such file.*has ended`)
}

func TestFIFOHasAnInodeAndNoBlocks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("not on disk"); err != nil {
		t.Fatal(err)
	}
	fifo := object(t, int(f.Fd()))
	wantLine(t, explain.Node(fifo), "^"+regexp.QuoteMeta(path)+` is a FIFO: inode \d+ on device \d+:\d+, size 0, 0 blocks on disk$`)
	wantLine(t, explain.Holders(fifo, os.Getpid())[0], regexp.QuoteMeta(path)+` open: descriptor \d+ \(both ends\)$`)
}

func TestDescriptionTellsAnInheritedDescriptorFromASecondOpen(t *testing.T) {
	t.Parallel()
	r, _ := newPipe(t)
	again, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", r.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()

	inherited := proc.FD{PID: startOn(t, r).PID(), FD: 0}
	mine := proc.FD{PID: os.Getpid(), FD: int(r.Fd())}
	second := proc.FD{PID: os.Getpid(), FD: int(again.Fd())}
	switch order, err := proc.Kcmp(mine, inherited); {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOSYS):
		wantLine(t, explain.Description(mine, inherited), "cannot be seen: .*seccomp")
		return // and no more can be known here
	case err != nil || order != 0:
		t.Errorf("inherited: order %d, error %v; want 0, the same", order, err)
	}
	if order, err := proc.Kcmp(second, inherited); err != nil || order == 0 {
		t.Errorf("opened again: order %d, error %v; want another", order, err)
	}
	wantLine(t, explain.Description(mine, inherited), `share one open file description \(kcmp KCMP_FILE: 0, equal\)$`)
	wantLine(t, explain.Description(second, inherited), `are two open file descriptions \(kcmp KCMP_FILE: [12], not equal\)$`)
}

func TestDescriptionSaysWhatItCouldNotSee(t *testing.T) {
	t.Parallel()
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	gone := proc.FD{PID: ended.Process.Pid, FD: 0}
	wantLine(t, explain.Description(gone, gone), `^whether descriptor 0 of process \d+ and .* cannot be seen: kcmp`)
}

func TestReasonNamesWhatForbidsALook(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		unix.EPERM:  "CAP_SYS_PTRACE",
		unix.EACCES: "CAP_SYS_PTRACE",
		unix.ENOSYS: "seccomp",
		unix.ENOENT: "hidepid",
		unix.ESRCH:  "ended",
	} {
		wrapped := explain.Reason(&fs.PathError{Op: "open", Path: "/proc/1/fd", Err: err})
		if !errors.Is(wrapped, err) || !strings.Contains(wrapped.Error(), want) {
			t.Errorf("%v: got %q, want it to name %s", err, wrapped, want)
		}
	}
}

func TestWaitingFindsTheThreadThatReads(t *testing.T) {
	t.Parallel()
	child := exec.Command("cat")
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line := explain.Waiting(t.Context(), child.Process.Pid, "read", 0)
	wantLine(t, line, fmt.Sprintf(`^process %[1]d: (thread %[1]d is asleep \(state S\) in read\(fd 0\), kernel function \w*pipe_read$|where its threads sleep: cannot be seen)`, child.Process.Pid))

	stdin.Close()
	if err := unix.Waitid(unix.P_PID, child.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	wantLine(t, explain.Waiting(t.Context(), child.Process.Pid, "read", 0), "has ended")
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	wantLine(t, explain.Waiting(t.Context(), child.Process.Pid, "read", 0), "cannot be seen")
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantLine(t, explain.Waiting(ctx, os.Getpid(), "read", 0), "no thread was seen")
}

func TestAThreadIsAsleepAsFarAsTheKernelTells(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		thread proc.Thread
		want   bool
		text   string
	}{
		{proc.Thread{ID: 7, State: "S", Call: "read(fd 3)", Where: "anon_pipe_read"}, true, "thread 7 is asleep (state S) in read(fd 3), kernel function anon_pipe_read"},
		{proc.Thread{ID: 7, State: "S", Call: "read(fd 3)"}, true, "thread 7 is asleep (state S) in read(fd 3)"},
		{proc.Thread{ID: 7, State: "S", Call: "read(fd 30)"}, false, "thread 7 is asleep (state S) in read(fd 30)"},
		{proc.Thread{ID: 7, State: "S", Where: "pipe_wait"}, true, "thread 7 is asleep (state S), kernel function pipe_wait"},
		{proc.Thread{ID: 7, State: "S", Where: "futex_do_wait"}, false, "thread 7 is asleep (state S), kernel function futex_do_wait"},
		{proc.Thread{ID: 7, State: "S"}, true, "thread 7 is asleep (state S)"},
		{proc.Thread{ID: 7, State: "R"}, false, "thread 7 is not asleep (state R)"},
	} {
		if got := test.thread.AsleepIn("read", 3); got != test.want {
			t.Errorf("%v: AsleepIn is %v", test.thread, got)
		}
		if got := explain.Thread(test.thread); got != test.text {
			t.Errorf("got %q, want %q", got, test.text)
		}
	}
}

func TestSegmentRowCountsAttachments(t *testing.T) {
	t.Parallel()
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4097, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	wantLine(t, explain.Segment(id), fmt.Sprintf(`^/proc/sysvipc/shm: key 0, shmid %d, perms 600, size 4097, cpid %d, lpid 0, nattch 0, `, id, os.Getpid()))
	memory, err := unix.SysvShmAttach(id, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	wantLine(t, explain.Segment(id), ` nattch 1, `)

	address, self := uintptr(unsafe.Pointer(&memory[0])), os.Getpid()
	want := fmt.Sprintf(`(?m)^segment %d is mapped at %08x-[0-9a-f]+ in process %d, and at %[2]x-`, id, address, self)
	wantLine(t, strings.Join(explain.Shared(self, self), "\n"), want)

	lines := explain.Place("segment", address)
	var names []string
	for _, line := range lines {
		name, _, _ := strings.Cut(line, ":")
		names = append(names, name)
	}
	if got := strings.Join(names, " "); got != "heap segment stack" {
		t.Errorf("in the order of addresses: %s; want the segment between heap and stack\n%s", got, strings.Join(lines, "\n"))
	}
	if !strings.Contains(strings.Join(lines, "\n"), "/SYSV00000000") {
		t.Errorf("no line names the segment:\n%s", strings.Join(lines, "\n"))
	}

	if err := unix.SysvShmDetach(memory); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.SysvShmCtl(id, unix.IPC_RMID, nil); err != nil {
		t.Fatal(err)
	}
	wantLine(t, explain.Segment(id), `no such row$`)
}

func wantLine(t *testing.T, line, pattern string) {
	t.Helper()
	if !regexp.MustCompile(pattern).MatchString(line) {
		t.Errorf("line %q does not match %s", line, pattern)
	}
}
