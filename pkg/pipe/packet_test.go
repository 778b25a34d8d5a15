package pipe_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/internal/ipctest"
	"example.com/ipcsuite/pkg/pipe"
)

func TestPacketModeKeepsWritesApart(t *testing.T) {
	page1, page2 := strings.Repeat("1", page), strings.Repeat("2", page)
	const whole = 1 << 20 // a buffer that nothing exceeds
	tests := []struct {
		name   string
		flags  int
		writes []string
		buffer int
		reads  []string
	}{
		{"stream writes come out of one read", 0,
			[]string{"one", "two"}, whole, []string{"onetwo"}},
		{"packets come out one by one", unix.O_DIRECT,
			[]string{"one", "two"}, whole, []string{"one", "two"}},
		{"a stream write comes out of several reads", 0,
			[]string{"onetwo"}, 3, []string{"one", "two"}},
		{"a read that is too short discards the rest of a packet", unix.O_DIRECT,
			[]string{"one", "three", "two"}, 3, []string{"one", "thr", "two"}},
		{"a packet of Atomic bytes is whole", unix.O_DIRECT,
			[]string{page1[:pipe.Atomic], "next"}, whole, []string{page1[:pipe.Atomic], "next"}},
		{"a longer write is a packet for each page", unix.O_DIRECT,
			[]string{page1 + page2 + "3", "next"}, whole, []string{page1, page2, "3", "next"}},
		{"an empty write is no packet", unix.O_DIRECT,
			[]string{"one", "", "two"}, whole, []string{"one", "two"}},
		{"a packet may hold NUL, newline and what is not UTF-8", unix.O_DIRECT,
			[]string{"\x00", "\n", "\xff"}, whole, []string{"\x00", "\n", "\xff"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, w := newPipe(t, tt.flags)
			for _, s := range tt.writes {
				ipctest.Write(t, w, s)
			}
			expectReads(t, r, tt.buffer, tt.reads)
		})
	}
}

func TestPacketModeIsLookedAtForEachWrite(t *testing.T) {
	r, w := newPipe(t, 0)
	for i, s := range []string{"on", "on", "off", "off"} {
		ipctest.Must(t, pipe.SetPacketMode(w, i < 2))
		ipctest.Write(t, w, s)
	}
	expectReads(t, r, 100, []string{"on", "on", "offoff"})
}

func TestPacketsBehindAStreamLoseTheirBounds(t *testing.T) {
	tests := []struct {
		name           string
		stream, packet string
		buffer         int
		reads          []string
	}{
		{"the packet is appended to the stream's page",
			"stream", "packet", 100, []string{"streampacket"}},
		{"and so is not cut short by a short read",
			"stream", "packet", 8, []string{"streampa", "cket"}},
		{"a packet that does not fit there is read on into",
			strings.Repeat("s", page-1), "packet", 2 * page, []string{strings.Repeat("s", page-1) + "packet"}},
		{"and cut short by a buffer that is long enough for it",
			strings.Repeat("s", page-1), "packet", page + 1, []string{strings.Repeat("s", page-1) + "pa"}},
		{"a read that ends with the stream's bytes leaves it whole",
			strings.Repeat("s", page-1), "packet", page - 1, []string{strings.Repeat("s", page-1), "packet"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, w := newPipe(t, 0)
			ipctest.Write(t, w, tt.stream)
			ipctest.Must(t, pipe.SetPacketMode(w, true))
			ipctest.Write(t, w, tt.packet)
			expectReads(t, r, tt.buffer, tt.reads)
		})
	}
}

func TestPacketModeBelongsToTheOpenFileDescription(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	ipctest.Mkfifo(t, path)
	r := ipctest.Open(t, path, unix.O_RDONLY|unix.O_NONBLOCK)
	w := ipctest.Open(t, path, unix.O_WRONLY)
	again := ipctest.Open(t, path, unix.O_WRONLY)
	dup, err := unix.Dup(w)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dup)

	ipctest.Must(t, pipe.SetPacketMode(w, true))
	for _, tt := range []struct {
		name string
		fd   int
		want bool
	}{
		{"the descriptor itself", w, true},
		{"a duplicate", dup, true},
		{"another open", again, false},
		{"the read end", r, false},
	} {
		if got, err := pipe.PacketMode(tt.fd); got != tt.want || err != nil {
			t.Errorf("packet mode of %s is %v, %v; want %v", tt.name, got, err, tt.want)
		}
	}
}

func TestSetPacketModeKeepsTheOtherFlags(t *testing.T) {
	_, w := newPipe(t, unix.O_NONBLOCK)
	for _, on := range []bool{true, true, false, false} {
		ipctest.Must(t, pipe.SetPacketMode(w, on))
		if got, err := pipe.PacketMode(w); got != on || err != nil {
			t.Errorf("packet mode is %v, %v; want %v", got, err, on)
		}
		if !flag(t, w, unix.F_GETFL, unix.O_NONBLOCK) {
			t.Error("O_NONBLOCK is gone")
		}
	}
}

func TestSetPacketModeRefusesAReadEnd(t *testing.T) {
	r, _ := newPipe(t, 0)
	if err := pipe.SetPacketMode(r, true); !errors.Is(err, unix.EBADF) || !strings.Contains(err.Error(), "read end") {
		t.Errorf("error is %v, want EBADF with a reason", err)
	}
}

func TestFIFOCannotBeOpenedInPacketMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	ipctest.Mkfifo(t, path)
	if _, err := unix.Open(path, unix.O_RDWR|unix.O_DIRECT, 0); !errors.Is(err, unix.EINVAL) {
		t.Errorf("open(2) with O_DIRECT: %v, want EINVAL", err)
	}
}

func TestNonBlockingWriteOfUpToAtomicBytesIsAllOrNothing(t *testing.T) {
	r, w := newPipe(t, unix.O_NONBLOCK)
	capacity, err := pipe.SetCapacity(w, 2*page)
	if err != nil {
		t.Fatal(err)
	}
	ipctest.Write(t, w, strings.Repeat("x", capacity-pipe.Atomic+1)) // there is room for Atomic-1
	if n, err := unix.Write(w, make([]byte, pipe.Atomic)); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("write of Atomic bytes: %d, %v; want EAGAIN", n, err)
	}
	if got, err := pipe.Buffered(r); got != capacity-pipe.Atomic+1 || err != nil {
		t.Errorf("Buffered is %d, %v; the write has left a part of itself", got, err)
	}
}

// expectReads empties the pipe r with reads of buffer bytes each.
func expectReads(t *testing.T, r, buffer int, want []string) {
	t.Helper()
	var got []string
	for {
		n, err := pipe.Buffered(r)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		got = append(got, read(t, r, buffer))
	}
	if !slices.Equal(got, want) {
		t.Errorf("reads returned %.60q, want %.60q", got, want)
	}
}
