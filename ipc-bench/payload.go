package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
)

// errCorrupted says that a message did not arrive as it was sent.
var errCorrupted = errors.New("corrupted")

const (
	// stampSize is the length in bytes of the number in a message.
	stampSize = 8
	// variants is how many contents messages have in turn. A prime, so that
	// they do not repeat in step with the pages of a pipe.
	variants = 61
)

// payload is what both ends know of all messages of one size. Message n is a
// stretch of bytes that depends on n, and n itself written over its start, as
// far as there is room. So a message that is late, repeated, cut or mixed with
// another is found out, and yet to make one costs the sender next to nothing:
// what is measured is the transport.
//
// No byte is NUL or a newline, which end a text in the mailbox.
type payload struct {
	size    int
	table   []byte
	saved   [stampSize]byte // what a stamp was written over,
	stamped []byte          // and where; nil: no stamp
}

func newPayload(size int) *payload {
	p := &payload{size: size, table: make([]byte, size+variants)}
	rnd := rand.New(rand.NewPCG(1, 2)) // the same at both ends
	for i := range p.table {
		p.table[i] = byte(33 + rnd.IntN(94))
	}
	return p
}

// message returns message n, valid until the next call of a method.
func (p *payload) message(n uint64) []byte {
	p.restore()
	m := p.content(n)
	p.stamped = m[:min(stampSize, p.size)]
	copy(p.saved[:], p.stamped)
	stamp(p.stamped, n)
	return m
}

// check fails if got is not message n, every byte of it.
func (p *payload) check(n uint64, got []byte) error {
	p.restore()
	if len(got) != p.size {
		return fmt.Errorf("%w: message %d has %d bytes, want %d", errCorrupted, n, len(got), p.size)
	}
	var want [stampSize]byte
	number := min(stampSize, p.size)
	stamp(want[:number], n)
	content := p.content(n)
	if bytes.Equal(got[:number], want[:number]) && bytes.Equal(got[number:], content[number:]) {
		return nil
	}
	copy(content, want[:number]) // it is not used any more
	for i := range got {
		if got[i] != content[i] {
			return fmt.Errorf("%w: message %d of %d bytes has %#x at offset %d, want %#x", errCorrupted, n, p.size, got[i], i, content[i])
		}
	}
	return nil
}

func (p *payload) content(n uint64) []byte {
	at := int(n % variants)
	return p.table[at : at+p.size]
}

func (p *payload) restore() {
	copy(p.stamped, p.saved[:])
	p.stamped = nil
}

// stamp writes n into p, 7 bits to a byte, the lowest first. The top bit keeps a
// byte from being NUL or a newline.
func stamp(p []byte, n uint64) {
	for i := range p {
		p[i] = 0x80 | byte(n)
		n >>= 7
	}
}
