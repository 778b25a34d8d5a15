package sysv_test

import (
	"fmt"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fork"
	"example.com/ipcsuite/pkg/internal/ipctest"
)

func TestMain(m *testing.M) {
	ipctest.Main(m, fork.Roles{"writer": ipctest.Role(writer)})
}

// writer attaches a segment and writes to it.
func writer(args []string) error {
	s, err := ipctest.OpenSegment(args[0])
	if err != nil {
		return err
	}
	if _, err := s.WriteAt([]byte("from the child"), 0); err != nil {
		return err
	}
	fmt.Println("written")
	ipctest.StdinEnds()
	return nil
}

func TestTwoProcessesSeeTheSameBytesUntilOneIsKilled(t *testing.T) {
	t.Parallel()
	s := ipctest.Segment(t, 4096)
	ipctest.Must(t, s.Attach())
	expectAttached := func(times int) {
		t.Helper()
		if info, err := s.Stat(); info.Attached != times || err != nil {
			t.Errorf("attached %d times, %v, want %d", info.Attached, err, times)
		}
	}
	child := ipctest.Run(t, "writer", strconv.Itoa(s.ID()))
	child.Expect("written")
	got := make([]byte, 14)
	if _, err := s.ReadAt(got, 0); err != nil || string(got) != "from the child" {
		t.Errorf("read %q, %v", got, err)
	}
	expectAttached(2)

	// A killed process is a zombie, to be waited for, only once its memory is gone.
	child.Kill()
	if ws := child.Cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signal() != unix.SIGKILL {
		t.Errorf("child ended with %v, want it killed", child.Cmd.ProcessState)
	}
	expectAttached(1)
}
