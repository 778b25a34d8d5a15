package main

import (
	"math"

	"example.com/ipcsuite/internal/contract"
)

// tally counts what became of numbered messages ([contract.Numbered]). A client's first
// has number 1, with which the count starts anew. Messages of clients that send at the
// same time are taken for lost and repeated. Texts without number are not counted.
type tally struct {
	whole    uint64
	torn     uint64 // the number at the one end is not that at the other
	lost     uint64 // numbers that were left out
	repeated uint64 // read, though read before
	last     uint64 // number
}

// message counts a text, and reports whether it is torn.
func (t *tally) message(text []byte) (torn bool) {
	n, _, numbered, whole := contract.Number(text)
	switch {
	case !numbered:
		return false
	case !whole:
		t.torn++
		return true
	}
	t.whole++
	switch {
	case n == 1: // a client's first
	case n <= t.last:
		t.repeated++
		return false
	default:
		t.lost += min(n-t.last-1, math.MaxUint64-t.lost) // numbers are anybody's choice
	}
	t.last = n
	return false
}

// any reports whether there was anything to count.
func (t *tally) any() bool { return t.whole+t.torn > 0 }
