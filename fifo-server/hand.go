package main

import "os"

// noText stands at the start of a buffer into which no message has been read yet. A
// message that begins with these bytes, or is a part of their beginning, is taken for
// none. Text in UTF-8 has no such bytes.
const noText = "\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8"

// hands is memory that the server and its readers share, and that readers read
// messages into.
type hands struct {
	file   *os.File
	mem    []byte
	ledger *ledger
}

// hand is what one reader holds: the messages that it says it holds, and one that it may
// have read and not yet counted when it is killed.
type hand struct {
	slot *slot
	buf  []byte
}

// newHands makes a buffer of that size for each place in the ledger. Memory is
// taken as it is touched, which is little of the buffers.
func newHands(l *ledger, size int) (*hands, error) {
	file, err := newShared("buffers", int64(len(l.slots))*int64(size))
	if err != nil {
		return nil, err
	}
	return openHands(file, l)
}

// openHands maps the buffers that a reader has inherited.
func openHands(file *os.File, l *ledger) (*hands, error) {
	mem, err := mapShared(file)
	if err != nil {
		return nil, err
	}
	return &hands{file: file, mem: mem, ledger: l}, nil
}

// of returns the hand of the reader that has place i in the ledger.
func (h *hands) of(i int) hand {
	size := len(h.mem) / len(h.ledger.slots)
	return hand{slot: &h.ledger.slots[i], buf: h.mem[i*size:][:size:size]}
}

// expect is called by a reader that holds n messages, before it reads another into its
// buffer. That one is in no number before the reader calls hold: whether there is one,
// the buffer shows.
func (h hand) expect(n uint64) {
	copy(h.buf, noText)
	h.slot.held.Store(n<<1 | 1)
}

// hold says how many messages a reader has taken and not yet printed.
func (s *slot) hold(n uint64) { s.held.Store(n << 1) }

// holds returns what the reader has said, and whether it expects another message.
func (s *slot) holds() (n uint64, expects bool) {
	held := s.held.Load()
	return held >> 1, held&1 != 0
}

// empty returns how many messages a reader that has ended held, and leaves none there. If
// the reader was killed while it printed, some of them may be printed.
func (h hand) empty() uint64 {
	n, expects := h.slot.holds()
	h.slot.hold(0)
	if expects && string(h.buf[:len(noText)]) != noText {
		n++
	}
	return n
}
