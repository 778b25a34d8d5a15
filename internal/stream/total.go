// Package stream is what shm-server --stream and shm-client --stream have in
// common: what they count and compare, and how they stop while one of them is
// blocked in a system call.
package stream

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/zeebo/xxh3"
)

// ErrDiffers says that the two sides have not seen the same bytes.
var ErrDiffers = errors.New("the stream has changed on its way")

// Total is what has passed one side. The client sends its own behind the
// stream, and the server compares it with what it has written.
//
// The checksum finds what goes wrong by itself. Who wants to deceive it does not keep
// out, and nothing could: everyone who may write to the segment may be the client.
type Total struct {
	Bytes  int64
	Sum    uint64 // of all these bytes, see counter
	Summed bool   // or Sum is 0, and was not computed
}

// counter adds up what passes, in pieces of any length.
//
// The sum is made of blocks of blockSize bytes: it is the XXH3 of the sum of the blocks
// before and of the XXH3 of the block. So the piece that comes next need not be copied
// together with the one before it, if it has whole blocks, as it has where a file goes
// through a ring. That makes XXH3 twice as fast: over pieces of 1 MiB, 19 GB/s against
// 10 without blocks, 9.5 of the CRC-32 in the standard library, 6.5 of XXH64 and 5.6 of
// CRC-32C, on a first AMD EPYC. (Processors differ: on another, CRC-32 had 24, and XXH3
// without blocks 16.)
type counter struct {
	Total             // Sum is that of the whole blocks
	last  xxh3.Hasher // of the bytes after these
}

const blockSize = 16 << 10

// add adds the bytes that come next.
func (c *counter) add(p []byte) {
	if !c.Summed {
		c.Bytes += int64(len(p))
		return
	}
	for len(p) > 0 {
		at := int(c.Bytes % blockSize)
		n := min(len(p), blockSize-at)
		if n == blockSize {
			c.Sum = next(c.Sum, xxh3.Hash(p[:n]))
		} else {
			_, _ = c.last.Write(p[:n]) // it does not fail
			if at+n == blockSize {
				c.Sum = next(c.Sum, c.last.Sum64())
				c.last.Reset()
			}
		}
		c.Bytes += int64(n)
		p = p[n:]
	}
}

// total returns the total so far.
func (c *counter) total() Total {
	t := c.Total
	if t.Summed && t.Bytes%blockSize != 0 {
		t.Sum = next(t.Sum, c.last.Sum64())
	}
	return t
}

// next returns the sum of all blocks from that of the blocks before and that of one.
func next(before, block uint64) uint64 {
	var both [16]byte
	binary.LittleEndian.PutUint64(both[:], before)
	binary.LittleEndian.PutUint64(both[8:], block)
	return xxh3.Hash(both[:])
}

// String is the total as it is sent, in one packet: "end 5 xxh3 93d4e2f4bcd0e6ab", or
// "end 5" without a checksum.
func (t Total) String() string {
	if !t.Summed {
		return fmt.Sprintf("end %d", t.Bytes)
	}
	return fmt.Sprintf("end %d xxh3 %016x", t.Bytes, t.Sum)
}

// Parse reads what String has written, and nothing else.
func Parse(packet string) (Total, error) {
	t := Total{Summed: true}
	if _, err := fmt.Sscanf(packet, "end %d xxh3 %x", &t.Bytes, &t.Sum); err != nil {
		t = Total{}
		_, _ = fmt.Sscanf(packet, "end %d", &t.Bytes) // what it has read is compared
	}
	if t.Bytes < 0 || t.String() != packet {
		return Total{}, fmt.Errorf("%q is not the end of a stream: another program than shm-client --stream uses it", packet)
	}
	return t, nil
}

// Compare compares what was written with what the client says that it has sent,
// and fails with [ErrDiffers]. Checksums count where both sides have one.
func (t Total) Compare(sent Total) error {
	switch {
	case t.Bytes != sent.Bytes:
		return fmt.Errorf("%w: %d bytes came of %d sent", ErrDiffers, t.Bytes, sent.Bytes)
	case t.Summed && sent.Summed && t.Sum != sent.Sum:
		return fmt.Errorf("%w: checksum %016x, and %016x when it was sent", ErrDiffers, t.Sum, sent.Sum)
	}
	return nil
}
