package proc_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/proc"
	"example.com/ipcsuite/internal/suitetest"
)

func TestDescriptorsOfAProcess(t *testing.T) {
	t.Parallel()
	child := suitetest.StartCmd(t, "", exec.Command("cat")).PID()
	fds, err := proc.FDs(child)
	if err != nil || !slices.Contains(fds, proc.FD{PID: child, FD: 0}) {
		t.Fatalf("got %v, %v; want descriptor 0 among them", fds, err)
	}
	o, err := fds[0].Object()
	if err != nil || !o.IsFIFO() || !strings.HasPrefix(o.String(), "pipe:[") {
		t.Errorf("descriptor 0 is %v, %v; want a pipe", o, err)
	}
	if flags, err := fds[0].Flags(); err != nil || flags&unix.O_ACCMODE != unix.O_RDONLY {
		t.Errorf("descriptor 0 has flags %#o, %v; want the read end", flags, err)
	}
	pipes, err := proc.Pipes(child)
	if err != nil || !slices.ContainsFunc(pipes, func(p proc.Object) bool { return p.String() == o.String() }) {
		t.Errorf("pipes are %v, %v; want %v among them", pipes, err, o)
	}
	if all := o.AllEnds(); !slices.Contains(all, fds[0]) || !slices.ContainsFunc(all, func(end proc.FD) bool { return end.PID == os.Getpid() }) {
		t.Errorf("all ends of %v are %v; want one here and %v", o, all, fds[0])
	}
}

// looksAt returns the errors of all that looks into a process.
func looksAt(pid int) map[string]error {
	_, fds := proc.FDs(pid)
	_, flags := proc.FD{PID: pid}.Flags()
	_, object := proc.FD{PID: pid}.Object()
	_, pipes := proc.Pipes(pid)
	_, maps := proc.Maps(pid)
	_, segments := proc.Segments(pid)
	return map[string]error{"FDs": fds, "Flags": flags, "Object": object, "Pipes": pipes, "Maps": maps, "Segments": segments}
}

func TestAProcessThatHasEndedDoesNotExist(t *testing.T) {
	t.Parallel()
	child := exec.Command("true")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	ended := child.Process.Pid
	looks := looksAt(ended)
	_, looks["Threads"] = proc.Threads(ended)
	_, looks["LookAt"] = proc.LookAt(ended, ended)
	_, looks["Disposition"] = proc.Disposition(ended, unix.SIGPIPE)
	for look, err := range looks {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", look, err)
		}
	}
}

func TestAnotherUsersProcessIsForbidden(t *testing.T) {
	t.Parallel()
	var first unix.Stat_t
	if err := unix.Stat("/proc/1", &first); err != nil || os.Getuid() != 0 && int(first.Uid) == os.Getuid() {
		t.Skipf("NOT TESTED: process 1 is no other user's, or is hidden: %v", err)
	}
	if os.Getuid() == 0 { // then this thread becomes another user
		runtime.LockOSThread() // until it ends, with the test
		const nobody = 65534
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
			t.Skipf("NOT TESTED: setresuid: %v", errno)
		}
	}
	for look, err := range looksAt(1) {
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", look, err)
		}
	}
}

func TestMapsKeepWhatNamesContain(t *testing.T) {
	t.Parallel()
	const name = "two  blanks\nSYSV and a line feed"
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	page, err := unix.Mmap(fd, 0, 1, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(page)
	maps, err := proc.Maps(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(maps, func(m proc.Mapping) bool { return m.Contains(uintptr(unsafe.Pointer(&page[0]))) })
	if want := "/memfd:" + strings.ReplaceAll(name, "\n", `\012`) + " (deleted)"; i < 0 || maps[i].Name != want {
		t.Errorf("mapping %d of %+v; want one with the name %q", i, maps, want)
	}
}

// That a pipe is mounted nowhere is a fact of pipe-demo's.
func TestMountsOfAFileSystem(t *testing.T) {
	t.Parallel()
	files, err := proc.ObjectAt("/proc/self")
	if err != nil {
		t.Fatal(err)
	}
	if points, err := files.Mounts(); err != nil || !slices.Contains(points, "/proc") {
		t.Errorf("mounted at %q, %v; want /proc among them", points, err)
	}
}

func TestThreadsOfThisProcess(t *testing.T) {
	t.Parallel()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if tids, err := proc.Threads(os.Getpid()); err != nil || !slices.Contains(tids, unix.Gettid()) {
		t.Errorf("threads are %v, %v; want %d among them", tids, err, unix.Gettid())
	}
	if th, err := proc.LookAt(os.Getpid(), unix.Gettid()); err != nil || th.State != "R" {
		t.Errorf("this thread is %+v, %v; want it awake", th, err)
	}
}

// What a look reads is in the counts of the next one, and nothing else.
func TestCopiedCountsAThreadsReads(t *testing.T) {
	t.Parallel()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, looked, err := proc.CopiedSoFar()
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("NOT TESTED: the kernel counts no I/O")
	}
	if err != nil {
		t.Fatal(err)
	}
	after, _, err := proc.CopiedSoFar()
	want := proc.Copied{To: before.To + looked, From: before.From, Reads: before.Reads + 1, Writes: before.Writes}
	if err != nil || after != want {
		t.Errorf("got %+v, %v; want %+v", after, err, want)
	}
}

func TestDispositionIsReadFromTheSignalMasks(t *testing.T) {
	t.Parallel()
	for trap, want := range map[string]string{"trap '' PIPE": "ignored", "trap : PIPE": "caught", "trap - PIPE": "default"} {
		shell := suitetest.StartCmd(t, "", exec.Command("sh", "-c", trap+"; echo set; read line; :"))
		shell.Prints("set")
		if got, err := proc.Disposition(shell.PID(), unix.SIGPIPE); err != nil || got != want {
			t.Errorf("%s: got %q, error %v; want %q", trap, got, err, want)
		}
		shell.Ends(0)
	}
}

func TestAHandleIsNoEnd(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	handle, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(handle)
	end, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(end)
	fifo, err := proc.ObjectAt(path)
	if err != nil {
		t.Fatal(err)
	}
	want := proc.FD{PID: os.Getpid(), FD: end}
	if ends, err := fifo.Ends(os.Getpid()); err != nil || len(ends) != 1 || ends[0] != want {
		t.Errorf("ends are %v, %v; want %v alone", ends, err, want)
	}
}
