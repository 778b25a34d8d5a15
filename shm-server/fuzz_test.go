package main

import (
	"fmt"
	"math"
	"testing"
)

// FuzzTally sends numbers as no client does. Each message is counted once.
func FuzzTally(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint64(4), uint64(2))
	f.Add(uint64(math.MaxUint64), uint64(1), uint64(math.MaxUint64), uint64(0))
	f.Add(uint64(0), uint64(0), uint64(1), uint64(1))
	f.Fuzz(func(t *testing.T, a, b, c, d uint64) {
		var sum tally
		for i, n := range []uint64{a, b, c, d} {
			before := sum
			if sum.message(fmt.Appendf(nil, "#%d x #%d", n, n)) {
				t.Fatalf("number %d is torn", n)
			}
			if sum.whole != uint64(i+1) || sum.torn != 0 {
				t.Errorf("after number %d: %+v", n, sum)
			}
			if sum.lost < before.lost || sum.repeated < before.repeated {
				t.Errorf("a count goes down at number %d: %+v, then %+v", n, before, sum)
			}
		}
	})
}
