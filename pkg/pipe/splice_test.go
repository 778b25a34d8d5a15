package pipe_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/internal/ipctest"
	"example.com/ipcsuite/pkg/pipe"
)

func TestSpliceMovesAFileThroughAPipe(t *testing.T) {
	dir := t.TempDir()
	want := bytes.Repeat([]byte("0123456789abcde\n"), 20_000) // more than the pipe holds
	ipctest.Must(t, os.WriteFile(filepath.Join(dir, "in"), want, 0o600))
	in := ipctest.Open(t, filepath.Join(dir, "in"), unix.O_RDONLY)
	out := ipctest.Open(t, dir, unix.O_TMPFILE|unix.O_RDWR)
	r, w := newPipe(t, 0)

	for {
		filled, err := pipe.Splice(w, in, len(want))
		if err != nil {
			t.Fatal(err)
		}
		if filled == 0 { // end of file
			break
		}
		if capacity, _ := pipe.Capacity(w); filled > capacity {
			t.Errorf("a pipe of %d bytes took %d", capacity, filled)
		}
		for filled > 0 {
			drained, err := pipe.Splice(out, r, filled)
			if err != nil {
				t.Fatal(err)
			}
			filled -= drained
		}
	}
	got := make([]byte, len(want)+1)
	n, err := unix.Pread(out, got, 0)
	if err != nil || !bytes.Equal(got[:n], want) {
		t.Errorf("%d bytes arrived (%v), want the same %d", n, err, len(want))
	}
}

func TestSpliceWaitsForTheOtherEnd(t *testing.T) {
	tests := []struct {
		name string
		then func(w *os.File) error
		want int
	}{
		{"to write", func(w *os.File) error { _, err := w.WriteString("abc"); return err }, 3},
		{"to be closed", (*os.File).Close, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srcR, srcW, err := pipe.New(0)
			if err != nil {
				t.Fatal(err)
			}
			defer srcR.Close()
			defer srcW.Close()
			_, dst := newPipe(t, 0)
			src := int(srcR.Fd())
			var n int
			done := ipctest.Blocked(t, func() (err error) {
				n, err = pipe.Splice(dst, src, 100)
				return err
			}, unix.SYS_SPLICE)
			ipctest.Must(t, tt.then(srcW))
			if err := ipctest.Within(t, done); n != tt.want || err != nil {
				t.Errorf("Splice returned %d, %v; want %d", n, err, tt.want)
			}
		})
	}
}

func TestSpliceAndPackets(t *testing.T) {
	tests := []struct {
		name string
		n    int // of each splice
		want []string
	}{
		{"packets stay packets", 100, []string{"one", "three"}},
		{"a packet longer than n is divided, none of it discarded", 3, []string{"one", "thr", "ee"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srcR, srcW := newPipe(t, unix.O_DIRECT)
			dstR, dstW := newPipe(t, 0)
			ipctest.Write(t, srcW, "one")
			ipctest.Write(t, srcW, "three")
			for left := len("onethree"); left > 0; {
				n, err := pipe.Splice(dstW, srcR, tt.n)
				if err != nil {
					t.Fatal(err)
				}
				left -= n
			}
			expectReads(t, dstR, 100, tt.want)
		})
	}
}

func TestSpliceErrors(t *testing.T) {
	dir := t.TempDir()
	file := ipctest.Open(t, dir, unix.O_TMPFILE|unix.O_RDWR)
	folder := ipctest.Open(t, dir, unix.O_RDONLY)
	appending := ipctest.Open(t, dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_APPEND)
	r, w := newPipe(t, 0)
	ipctest.Write(t, w, "abc")
	_, full := newPipe(t, unix.O_NONBLOCK)
	if _, err := unix.Write(full, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	empty, _ := newPipe(t, unix.O_NONBLOCK)
	end, broken, err := pipe.New(0)
	if err != nil {
		t.Fatal(err)
	}
	defer broken.Close()
	end.Close()

	tests := []struct {
		name        string
		dst, src, n int
		want        unix.Errno
	}{
		{"no bytes", file, r, 0, unix.EINVAL},
		{"fewer than no bytes", file, r, -1, unix.EINVAL},
		{"no pipe", file, file, 1, unix.EINVAL},
		{"one pipe", w, r, 1, unix.EINVAL},
		{"append", appending, r, 1, unix.EINVAL},
		{"a file that cannot be spliced", w, folder, 1, unix.EINVAL},
		{"wrong ends", r, w, 1, unix.EBADF},
		{"no descriptor", w, -1, 1, unix.EBADF},
		{"empty source", file, empty, 1, unix.EAGAIN},
		{"full target", full, r, 1, unix.EAGAIN},
		{"target without readers", int(broken.Fd()), r, 1, unix.EPIPE},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if n, err := pipe.Splice(tt.dst, tt.src, tt.n); n != 0 || !errors.Is(err, tt.want) {
				t.Errorf("Splice returned %d, %v; want %v", n, err, tt.want)
			}
		})
	}
	if _, err := pipe.Splice(w, folder, 1); err == nil || !strings.Contains(err.Error(), "some kinds of files") {
		t.Errorf("error %v does not say that it may be the kind of file", err)
	}
	if got := read(t, r, 100); got != "abc" {
		t.Errorf("source holds %q after the errors, want it untouched", got)
	}
}

func TestSpliceDoesNotAllocate(t *testing.T) {
	srcR, srcW := newPipe(t, 0)
	dstR, dstW := newPipe(t, 0)
	p := make([]byte, 64)
	ipctest.NoAllocations(t, func() {
		if _, err := unix.Write(srcW, p); err != nil {
			t.Fatal(err)
		}
		if n, err := pipe.Splice(dstW, srcR, len(p)); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
		if _, err := unix.Read(dstR, p); err != nil {
			t.Fatal(err)
		}
	})
}
