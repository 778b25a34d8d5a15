package stream

import (
	"time"

	"example.com/ipcsuite/pkg/ring"
)

// DefaultRing is the capacity of the ring in bytes, unless --size says
// otherwise: so much that each side has work for as long as the other needs to
// wake up, and so little that it stays in the cache. A GiB with checksum took
// 0.19 s instead of the 0.23 s of a ring of 1 MiB; chapter 3 has more figures.
const DefaultRing = 4 << 20

// Spin returns for how long a side looks, at the ring and at its FIFO, before it
// sleeps: not at all where the ring is so large that a sleep is over before it is
// full or empty, as looking would take a processor from those who read the file. A
// GiB took 0.13 to 0.15 s instead of 0.16 to 0.18, and in a ring of 256 KiB 0.32
// instead of 0.39; but in one of 64 KiB 0.60 instead of 0.28.
func Spin(capacity int) time.Duration {
	if capacity < 256<<10 {
		return ring.SpinTime
	}
	return 0
}
