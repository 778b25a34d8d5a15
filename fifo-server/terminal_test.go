package main

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"example.com/ipcsuite/internal/suitetest"
)

// On a terminal the client prompts for each line, and Ctrl-D ends it.
func TestClientPromptsOnATerminal(t *testing.T) {
	t.Parallel()
	dir, s := newServer(t)
	s.Await("waiting for a client")
	master, slave := suitetest.Terminal(t)
	cmd := exec.Command("fifo-client")
	cmd.Stdin = slave
	c := suitetest.StartCmd(t, dir, cmd)
	slave.Close()
	for _, text := range []string{"hello", ""} {
		fmt.Fprintln(master, text)
		expectMessage(t, s, text)
	}
	fmt.Fprint(master, "\x04")
	c.Await("Notice .*connected: type a message")
	c.Ends(0)
	if said := c.Stderr.String(); strings.Count(said, "> ") != 3 {
		t.Errorf("%d prompts, want 3:\n%s", strings.Count(said, "> "), said)
	}
	s.Exit(0)
	suitetest.Clean(t, dir, s, c)
}
