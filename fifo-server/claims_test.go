package main

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/suitetest"
)

// Claim 34: read(2) returns a line that was typed with its newline.
func TestReadOfATypedLineReturnsItsNewline(t *testing.T) {
	t.Parallel()
	master, slave := suitetest.Terminal(t)
	defer slave.Close()
	fmt.Fprint(master, "abc\n")
	var line [100]byte
	n, err := unix.Read(int(slave.Fd()), line[:])
	if err != nil || string(line[:n]) != "abc\n" {
		t.Errorf("%d bytes, %q, %v; want 4", n, line[:max(n, 0)], err)
	}
}
