package fifo_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/fork"
	"example.com/ipcsuite/pkg/internal/ipctest"
)

// The test binary is its own child: see roles_test.go.
func TestMain(m *testing.M) { ipctest.Main(m, roles) }

// tempPath returns the path of a FIFO to be made, in a folder that other users
// can enter.
func tempPath(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	// Of the two, MkdirTemp makes the outer 0700, and the umask may do so with the other.
	ipctest.Must(tb, errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755)))
	return filepath.Join(dir, "fifo")
}

// pair makes a FIFO and opens both ends.
func pair(tb testing.TB) (*fifo.FIFO, *fifo.Reader, *fifo.Writer) {
	tb.Helper()
	f := ipctest.FIFO(tb, tempPath(tb))
	w := ipctest.Writer(tb, f.Path())
	return f, ipctest.Reader(tb, f), w
}

// lockFolder locks the folder of path, as Create and those who give up a wait do.
func lockFolder(tb testing.TB, path string) (unlock func()) {
	tb.Helper()
	folder := ipctest.Open(tb, filepath.Dir(path), unix.O_RDONLY)
	ipctest.Must(tb, unix.Flock(folder, unix.LOCK_EX))
	return func() {
		tb.Helper()
		ipctest.Must(tb, unix.Flock(folder, unix.LOCK_UN))
	}
}

// blockedInOpen starts a role at a FIFO that nobody serves, and returns when it blocks in
// open(2).
func blockedInOpen(t *testing.T, role string) (path string, c *ipctest.Child) {
	t.Helper()
	path = tempPath(t)
	ipctest.Mkfifo(t, path)
	c = ipctest.Run(t, role, path)
	c.Expect("opening")
	ipctest.Eventually(t, "the child blocks in open(2)", func() bool { return ipctest.ThreadsIn(c.PID(), unix.SYS_OPENAT) == 1 })
	return path, c
}

// send writes messages, each a text.
func send(tb testing.TB, w *fifo.Writer, texts ...string) {
	tb.Helper()
	for _, text := range texts {
		if n, err := w.Write([]byte(text)); n != len(text) || err != nil {
			tb.Fatalf("Write of %d bytes: %d, %v", len(text), n, err)
		}
	}
}

// descriptors lists what this process has open.
func descriptors(tb testing.TB) string {
	tb.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	ipctest.Must(tb, err)
	var b strings.Builder
	for _, fd := range fds {
		// The one that lists has gone by now.
		if link, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil {
			fmt.Fprintln(&b, fd.Name(), link)
		}
	}
	return b.String()
}

// runAsNobody runs a role without privileges.
func runAsNobody(tb testing.TB, role string, args ...string) *ipctest.Child {
	tb.Helper()
	cmd := fork.Command(role, args...)
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	return ipctest.Start(tb, cmd)
}
