package main

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/sysv"
)

// A server that ends between shmget(2) and shmat(2) is no server yet, for which
// --wait waits.
func TestSegmentThatGoesBeforeItIsAttachedIsNotThere(t *testing.T) {
	segment, err := sysv.Create(sysv.Private, 1, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := segment.Remove(); err != nil {
		t.Fatal(err)
	}
	var c connection
	if err := c.attach(segment, os.Geteuid()); !errors.Is(err, unix.ENOENT) {
		t.Errorf("got %v, want ENOENT", err)
	}
	if c.slot != nil {
		t.Error("the segment is taken for attached")
	}
}
