package fifo_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/internal/ipctest"
)

// BenchmarkRoundTrip sends 64 bytes to another process and waits for them to
// come back: two messages, and two wake-ups, for each.
func BenchmarkRoundTrip(b *testing.B) {
	there, back := ipctest.FIFO(b, tempPath(b)), ipctest.FIFO(b, tempPath(b))
	ipctest.Run(b, "echo", there.Path(), back.Path())
	w := ipctest.Writer(b, there.Path())
	r := ipctest.Reader(b, back)
	message, buf := bytes.Repeat([]byte("x"), 64), make([]byte, fifo.Atomic)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Write(message); err != nil {
			b.Fatal(err)
		}
		if n, err := r.Read(buf); n != len(message) || err != nil {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkOneWay sends 64 bytes to another process, which does nothing with
// them.
func BenchmarkOneWay(b *testing.B) {
	for _, capacity := range []int{64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", capacity>>10), func(b *testing.B) {
			f := ipctest.FIFO(b, tempPath(b))
			if _, err := f.SetCapacity(capacity); err != nil {
				b.Fatal(err)
			}
			w := ipctest.Writer(b, f.Path())
			c := ipctest.Run(b, "drain", f.Path())
			c.Expect("open")
			message := bytes.Repeat([]byte("x"), 64)
			b.ReportAllocs()
			b.SetBytes(int64(len(message)))
			for b.Loop() {
				if _, err := w.Write(message); err != nil {
					b.Fatal(err)
				}
			}
			w.Close()
			c.Expect("end of file") // all has been read
		})
	}
}

// BenchmarkCreate makes a FIFO and removes it.
func BenchmarkCreate(b *testing.B) {
	path := tempPath(b)
	for b.Loop() {
		f, err := fifo.Create(context.Background(), path, fifo.Options{})
		ipctest.Must(b, err)
		ipctest.Must(b, f.Remove())
	}
}
