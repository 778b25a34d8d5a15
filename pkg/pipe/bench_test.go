package pipe_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fork"
	"example.com/ipcsuite/pkg/internal/ipctest"
	"example.com/ipcsuite/pkg/pipe"
)

func TestMain(m *testing.M) {
	ipctest.Main(m, fork.Roles{"pong": ipctest.Role(pong), "drain": ipctest.Role(drain)})
}

// BenchmarkWriteRead is a write of 64 bytes and the read that returns them, in one
// thread: the system calls without a wake-up.
func BenchmarkWriteRead(b *testing.B) {
	for _, bb := range []struct {
		name  string
		flags int
	}{{"stream", 0}, {"packet", unix.O_DIRECT}} {
		b.Run(bb.name, func(b *testing.B) {
			r, w := newPipe(b, bb.flags)
			msg, buf := make([]byte, 64), make([]byte, pipe.Atomic)
			b.SetBytes(int64(len(msg)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := unix.Write(w, msg); err != nil {
					b.Fatal(err)
				}
				if n, err := unix.Read(r, buf); n != len(msg) || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}

// BenchmarkRoundTrip is 64 bytes to another process and back, with files in blocking
// mode and with files in the runtime's poller. It is why New makes the former.
func BenchmarkRoundTrip(b *testing.B) {
	for _, bb := range []struct {
		name  string
		flags int
	}{{"blocking", 0}, {"poller", unix.O_NONBLOCK}} {
		b.Run(bb.name, func(b *testing.B) {
			childR, w, err := pipe.New(bb.flags)
			if err != nil {
				b.Fatal(err)
			}
			r, childW, err := pipe.New(bb.flags)
			if err != nil {
				b.Fatal(err)
			}
			child := start(b, "pong", childR, childW)

			msg, buf := make([]byte, 64), make([]byte, 64)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Write(msg); err != nil {
					b.Fatal(err)
				}
				if n, err := r.Read(buf); n != len(msg) || err != nil {
					b.Fatal(n, err)
				}
			}
			w.Close() // end of file for the child
			child.Ends()
			r.Close()
		})
	}
}

// BenchmarkOneWay is a write to a pipe that another process empties, in pieces of
// 64 KiB: what packet mode costs, and what a larger pipe gains.
func BenchmarkOneWay(b *testing.B) {
	for _, bb := range []struct {
		name           string
		flags          int
		size, capacity int
	}{
		{"stream/64B", 0, 64, 64 << 10},
		{"packet/64B", unix.O_DIRECT, 64, 64 << 10},
		{"packet/64B-1MiB", unix.O_DIRECT, 64, 1 << 20},
		{"stream/64KiB-4KiB", 0, 64 << 10, 4 << 10},
		{"stream/64KiB", 0, 64 << 10, 64 << 10},
		{"stream/64KiB-1MiB", 0, 64 << 10, 1 << 20},
	} {
		b.Run(bb.name, func(b *testing.B) {
			childR, w, err := pipe.New(bb.flags)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := pipe.SetCapacity(int(w.Fd()), bb.capacity); err != nil {
				b.Fatal(err)
			}
			child := start(b, "drain", childR)

			msg := make([]byte, bb.size)
			b.SetBytes(int64(len(msg)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Write(msg); err != nil {
					b.Fatal(err)
				}
			}
			w.Close() // end of file for the child
			child.Ends()
		})
	}
}

// start starts the other process, which alone has the files then.
func start(b *testing.B, role string, files ...*os.File) *ipctest.Child {
	b.Helper()
	cmd := fork.Command(role)
	cmd.ExtraFiles = files
	child := ipctest.Start(b, cmd)
	for _, f := range files {
		f.Close()
	}
	return child
}

// drain is the other process: it reads to the end.
func drain([]string) error {
	r := os.NewFile(uintptr(fork.FD(0)), "pipe")
	buf := make([]byte, 64<<10)
	for {
		if _, err := r.Read(buf); err != nil {
			return err
		}
	}
}

// pong is the other process: it sends back what it gets.
func pong([]string) error {
	r := os.NewFile(uintptr(fork.FD(0)), "ping")
	w := os.NewFile(uintptr(fork.FD(1)), "pong")
	buf := make([]byte, 64)
	for {
		n, err := r.Read(buf)
		if err != nil {
			return err
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
	}
}
