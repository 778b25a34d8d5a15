package fifo_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/fork"
	"example.com/ipcsuite/pkg/internal/ipctest"
)

func TestLiveTellsServedFromDead(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	ipctest.Want(t, fifo.Live(path), unix.ENOENT)
	ipctest.Mkfifo(t, path)
	if err := fifo.Live(path); err != nil {
		t.Errorf("nobody serves the FIFO: %v", err)
	}
	server := ipctest.Run(t, "serve", path)
	server.Expect("serving, replaced: true")
	err := fifo.Live(path)
	expectPIDs(t, err, server.PID())
	if !strings.Contains(err.Error(), path) {
		t.Errorf("error %q does not name %s", err, path)
	}
	server.Kill()
	if err := fifo.Live(path); err != nil {
		t.Errorf("the server has died: %v", err)
	}
}

func TestLiveRefusesWhatIsNoFIFO(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ipctest.Want(t, fifo.Live(dir), fifo.ErrNotFIFO)
	ipctest.Mkfifo(t, dir+"/fifo")
	ipctest.Must(t, os.Symlink("fifo", dir+"/link"))
	ipctest.Want(t, fifo.Live(dir+"/link"), fifo.ErrNotFIFO)
}

func TestLiveNamesAllReadersAndNoWriters(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	server := ipctest.Run(t, "serve", path)
	server.Expect("serving, replaced: false")
	reader := ipctest.Run(t, "read", path)
	ipctest.Writer(t, path) // this process, which is not among them
	reader.Expect("open")
	ipctest.Open(t, path, unix.O_PATH)
	expectPIDs(t, fifo.Live(path), server.PID(), reader.PID())
}

func expectPIDs(t *testing.T, err error, pids ...int) {
	t.Helper()
	slices.Sort(pids)
	var live *fifo.LiveError
	if !errors.As(err, &live) {
		t.Errorf("error is %v, want a LiveError", err)
		return
	}
	if slices.Sort(live.PIDs); !slices.Equal(live.PIDs, pids) {
		t.Errorf("pids %v, want %v", live.PIDs, pids)
	}
}

// From another user, and from another PID namespace, /proc shows no descriptors.
func TestServerThatProcDoesNotShowIsLive(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: needs root, to start a server as another user")
	}
	tests := map[string]struct {
		role string
		set  func(*syscall.SysProcAttr)
	}{
		"another user": {"live", func(attr *syscall.SysProcAttr) {
			attr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
		}},
		"another PID namespace": {"live in namespace", func(attr *syscall.SysProcAttr) {
			attr.Cloneflags = unix.CLONE_NEWPID | unix.CLONE_NEWNS
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := tempPath(t)
			server := ipctest.Run(t, "serve", path)
			server.Expect("serving, replaced: false")
			cmd := fork.Command(tt.role, path)
			tt.set(cmd.SysProcAttr)
			c := ipctest.Start(t, cmd)
			c.Expect("live: []")
			server.Kill()
			c.Stdin.Close()
			c.Expect("dead")
		})
	}
}

// A server that waits for its first client must not take a look for one, and
// neither must a client that waits for a server.
func TestLookingDisturbsNobodyWhoWaits(t *testing.T) {
	t.Parallel()
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		path := tempPath(t)
		f := ipctest.FIFO(t, path)
		ctx, cancel := context.WithCancelCause(context.Background())
		waiting := ipctest.Blocked(t, func() error {
			_, err := f.OpenReader(ctx)
			return err
		}, ipctest.InPoll...)
		for range 20 {
			ipctest.Want(t, fifo.Live(path), unix.EADDRINUSE)
			_, err := fifo.Create(context.Background(), path, fifo.Options{})
			ipctest.Want(t, err, unix.EADDRINUSE)
		}
		reason := errors.New("enough")
		cancel(reason)
		ipctest.Want(t, ipctest.Within(t, waiting), reason)
	})
	t.Run("client, blocked in open(2) at a FIFO whose server has died", func(t *testing.T) {
		t.Parallel()
		path, c := blockedInOpen(t, "raw writer")
		for range 20 {
			ipctest.Must(t, fifo.Live(path))
		}
		// It has not gone on: it blocks in the same system call still.
		if n := ipctest.ThreadsIn(c.PID(), unix.SYS_OPENAT); n != 1 {
			t.Errorf("%d threads of the client block in open(2), want 1", n)
		}
		ipctest.Open(t, path, unix.O_RDONLY|unix.O_NONBLOCK)
		c.Expect("open")
	})
}
