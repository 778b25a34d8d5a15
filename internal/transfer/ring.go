package transfer

import (
	"time"

	"example.com/ipcsuite/pkg/ring"
)

// DefaultRing is the capacity of the ring in bytes, unless --size says otherwise. Each
// side has work for as long as the other needs to wake up, and the ring stays in the
// cache. Chapter 3 has the figures of other sizes.
const DefaultRing = 4 << 20

// Spin returns for how long a side polls the ring and its FIFO before it sleeps. It does
// not poll at all where the ring is so large that a sleep is over before the ring is full
// or empty: it would take a processor from those who read the file.
func Spin(capacity int) time.Duration {
	if capacity < 256<<10 {
		return ring.SpinTime
	}
	return 0
}
