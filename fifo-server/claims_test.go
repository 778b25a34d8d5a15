package main

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// Claim 34: what read(2) returns of a line that was typed has its newline too.
func TestReadOfATypedLineReturnsItsNewline(t *testing.T) {
	t.Parallel()
	master, slave := terminal(t)
	defer slave.Close()
	fmt.Fprint(master, "abc\n")
	var line [100]byte
	n, err := unix.Read(int(slave.Fd()), line[:])
	if err != nil || string(line[:n]) != "abc\n" {
		t.Errorf("%d bytes, %q, %v; want 4", n, line[:max(n, 0)], err)
	}
}
