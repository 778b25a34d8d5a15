package main

import (
	"bytes"
	"math"
	"strconv"
)

// tally counts what became of numbered messages. A numbered message has its
// number at both ends,
//
//	#17 hello #17
//
// the first that a client sends being number 1. So it shows by itself if it is
// whole, and by the number before it if one is missing or came again. Numbers
// are those of one client: with number 1 the count starts anew, and messages of
// clients that send at the same time are taken for lost and repeated. Texts
// without number are no part of it.
type tally struct {
	whole    uint64
	torn     uint64 // the number at the one end is not that at the other
	lost     uint64 // numbers that were left out
	repeated uint64 // read, though read before
	last     uint64 // number
}

// message counts a text, and reports whether it is torn.
func (t *tally) message(text []byte) (torn bool) {
	n, _, numbered, whole := number(text)
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

// number takes a text apart: whether a number is in front of it, which, and
// whether it is whole, with the same number at its end; body is what stands
// between the two.
func number(text []byte) (n uint64, body []byte, numbered, whole bool) {
	if len(text) == 0 || text[0] != '#' {
		return 0, nil, false, false
	}
	mark, rest, _ := bytes.Cut(text, []byte{' '})
	n, err := strconv.ParseUint(string(mark[1:]), 10, 64)
	if err != nil {
		return 0, nil, false, false
	}
	end := bytes.LastIndexByte(rest, ' ')
	if end < 0 || !bytes.Equal(rest[end+1:], mark) {
		return n, nil, true, false
	}
	return n, rest[:end], true, true
}
