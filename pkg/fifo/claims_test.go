package fifo_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/internal/ipctest"
)

// Claim 16: open(2) of a FIFO waits for the other side, and O_NONBLOCK changes
// that for each side in its own way. The package itself never blocks in open(2).

func TestOpenWaitsForTheOtherSide(t *testing.T) {
	t.Parallel()
	for waiting, other := range map[string]int{
		"raw reader": unix.O_WRONLY | unix.O_NONBLOCK,
		"raw writer": unix.O_RDONLY | unix.O_NONBLOCK,
	} {
		t.Run(waiting, func(t *testing.T) {
			t.Parallel()
			path, c := blockedInOpen(t, waiting)
			ipctest.Open(t, path, other)
			c.Expect("open")
		})
	}
}

func TestNonBlockingOpenSucceedsForReadingOnly(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	ipctest.Mkfifo(t, path)
	if fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != unix.ENXIO {
		t.Errorf("for writing, without a reader: descriptor %d, %v; want ENXIO", fd, err)
	}
	ipctest.Open(t, path, unix.O_RDONLY|unix.O_NONBLOCK)
	ipctest.Open(t, path, unix.O_WRONLY|unix.O_NONBLOCK)
}
