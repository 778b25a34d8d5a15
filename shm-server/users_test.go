package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/suitetest"
)

// A server that is another user's is no business of ours.
func TestSegmentOfAnotherUser(t *testing.T) {
	dir := suitetest.Dir(t)
	foreign := createSegment(t, dir)
	var d unix.SysvShmDesc
	if _, err := unix.SysvShmCtl(foreign.ID(), unix.IPC_STAT, &d); err != nil {
		t.Fatal(err)
	}
	d.Perm.Uid = 12345 // it is given away, which its maker may do
	if _, err := unix.SysvShmCtl(foreign.ID(), unix.IPC_SET, &d); err != nil {
		t.Fatal(err)
	}
	suitetest.Contains(t, suitetest.Start(t, dir, "shm-server").Ends(1), "another user", "choose another --proj-id")

	// To a client, it is not the one that belongs to the FIFO.
	server := startServer(t, dir, "--proj-id", "7", "--keep-alive")
	suitetest.Contains(t, suitetest.Start(t, dir, "shm-client", "secret").Ends(1), "to another user")
	server.Signal(syscall.SIGTERM)
	server.Ends(128 + 15)
	if _, err := foreign.Stat(); err != nil {
		t.Error(err)
	}
}

// With a mode that lets them, users of a group meet in a folder of the group's.
func TestClientOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: it takes root to be somebody else")
	}
	dir := suitetest.Dir(t)
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	asOther := func(name string, args ...string) *suitetest.Process {
		t.Helper()
		const nobody = 65534
		cmd := exec.Command(name, args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		return suitetest.StartCmd(t, dir, cmd)
	}
	fifo := filepath.Join(dir, "fifo")
	suitetest.Contains(t, asOther("shm-server").Ends(1), "it belongs to uid 0")
	suitetest.Contains(t, asOther("shm-server", "--key-path", dir, "--fifo", fifo).Ends(1), "permission denied")

	server := startServer(t, dir, "--key-path", dir, "--fifo", fifo, "--keep-alive")
	suitetest.Contains(t, asOther("shm-client", "--key-path", dir, "--fifo", fifo, "x").Ends(1), "permission denied")
	server.Signal(syscall.SIGTERM)
	server.Ends(128 + 15)

	server = startServer(t, dir, "--key-path", dir, "--fifo", fifo, "--mode", "0666")
	asOther("shm-client", "--key-path", dir, "--fifo", fifo, "hello", "quit").Ends(0)
	server.Prints("hello", "quit")
	server.Ends(0)
	suitetest.Clean(t, dir)
}
