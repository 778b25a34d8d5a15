package main

import (
	"os/exec"
	"testing"

	"example.com/ipcsuite/internal/suitetest"
)

func TestReadersThatCannotAllBeStartedAreEnded(t *testing.T) {
	t.Parallel()
	dir := suitetest.Dir(t)
	// Each reader takes a descriptor of the server.
	s := suitetest.StartCmd(t, dir, exec.Command("sh", "-c",
		"ulimit -n $(($(ls /proc/self/fd | wc -l) + 36)); exec fifo-server --readers 60"))
	c := startClient(t, dir)
	s.Await("Error .*start reader: .*too many open files")
	s.Ends(1)
	c.Ends(0)
	suitetest.Clean(t, dir, s, c)
}
