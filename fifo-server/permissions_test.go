package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"example.com/ipcsuite/internal/suitetest"
)

func TestFolderThatMayNotBeWrittenToIsNamed(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: needs root, to be another user")
	}
	dir := suitetest.Dir(t)
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	nobody := func(args ...string) *suitetest.Process {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		return suitetest.StartCmd(t, dir, cmd)
	}
	path := filepath.Join(dir, "fifo")

	p := nobody("fifo-server", "--path", path)
	p.Await("Error .*" + path + ": " + dir + "/.fifo.new: mkdir: permission denied")
	p.Ends(1)
	p = nobody("fifo-server")
	p.Await("Error .*folder " + dir + ": it belongs to uid 0, not to you")
	p.Ends(1)

	// The FIFO of another may not be opened.
	s := startServer(t, dir, "--path", path)
	s.Await("waiting for a client")
	p = nobody("fifo-client", "--path", path, "hello")
	p.Await("Error .*permission denied")
	p.Ends(1)
	// But whether it is served can be seen.
	nobody("fifo-server", "health", "--path", path).Ends(0)
	startClient(t, dir, "--path", path, "hello").Ends(0)
	s.Exit(0)
	suitetest.Clean(t, dir, s)

	// A client may open it, but not look into its server: --explain says so.
	s = startServer(t, dir, "--path", path, "--mode", "0666")
	s.Await("waiting for a client")
	p = nobody("fifo-client", "--path", path, "--explain", "hello")
	p.Await("⇒ who reads the FIFO cannot be seen: .*CAP_SYS_PTRACE")
	p.Ends(0)
	s.Exit(0)
	suitetest.Clean(t, dir, s)
}
