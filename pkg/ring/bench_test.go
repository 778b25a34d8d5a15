package ring_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"example.com/ipcsuite/pkg/internal/ipctest"
	"example.com/ipcsuite/pkg/ring"
)

// spins are how long both sides look before they sleep.
var spins = []struct {
	name string
	spin time.Duration
}{
	{"spinning", 100 * time.Millisecond},
	{"default", ring.SpinTime},
	{"sleeping", 0},
}

// A message of 64 bytes to another process and back.
func BenchmarkRoundTrip(b *testing.B) {
	for _, c := range spins {
		b.Run(c.name, func(b *testing.B) {
			w, r, child := pingPong(b, 1<<16, c.spin)
			buf := make([]byte, 64)
			b.ReportAllocs()
			batches := newBatches()
			for i := uint64(0); b.Loop(); i++ {
				batches.count(i)
				binary.NativeEndian.PutUint64(buf, i)
				ipctest.Must(b, w.Send(buf))
				n, err := r.Receive(buf)
				if err != nil || n != 64 || binary.NativeEndian.Uint64(buf) != i {
					b.Fatal(n, err)
				}
			}
			b.StopTimer()
			batches.report(b)
			ipctest.Must(b, w.End())
			child.Ends()
		})
	}
}

// Messages of 64 bytes to another process, which checks them.
func BenchmarkMessages(b *testing.B) {
	for _, c := range spins {
		b.Run(c.name, func(b *testing.B) {
			p := newPlace(b, 1<<20, c.spin)
			child := ipctest.Run(b, "receiver", p.args()...)
			w := p.writer(b)
			buf := make([]byte, 64)
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			batches := newBatches()
			for i := uint64(0); b.Loop(); i++ {
				batches.count(i)
				buf[0], buf[63] = byte(i), byte(i)
				ipctest.Must(b, w.Send(buf))
			}
			ipctest.Must(b, errors.Join(w.End(), w.Flush()))
			b.StopTimer()
			batches.report(b)
			child.Ends()
		})
	}
}

// Pieces of 64 KiB, written into a ring and thrown away by another process.
func BenchmarkStream(b *testing.B) {
	for _, capacity := range []int{4 << 10, 64 << 10, 1 << 20, 16 << 20} {
		b.Run(fmt.Sprintf("%dKiB", capacity>>10), func(b *testing.B) {
			p := newPlace(b, capacity, ring.SpinTime)
			child := ipctest.Run(b, "sink", p.args()...)
			w := p.writer(b)
			buf := make([]byte, 64<<10)
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Write(buf); err != nil {
					b.Fatal(err)
				}
			}
			ipctest.Must(b, errors.Join(w.End(), w.Flush()))
			b.StopTimer()
			child.Ends()
		})
	}
}

// batches has the times of every 100 operations. On a busy machine, where one
// side is at times without a processor, their median tells more than the mean.
type batches struct {
	times []time.Duration
	last  time.Time
}

func newBatches() *batches { return &batches{last: time.Now()} }

func (s *batches) count(i uint64) {
	if i%100 == 99 {
		now := time.Now()
		s.times = append(s.times, now.Sub(s.last))
		s.last = now
	}
}

func (s *batches) report(b *testing.B) {
	if slices.Sort(s.times); len(s.times) > 0 {
		b.ReportMetric(float64(s.times[len(s.times)/2])/100, "p50-ns/op")
		b.ReportMetric(float64(s.times[0])/100, "best-ns/op")
	}
}
