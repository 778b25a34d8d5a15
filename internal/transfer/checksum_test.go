package transfer

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/zeebo/xxh3"
)

// In pieces of any length, and in one, the sum is what its definition says.
func TestTotalOfPiecesIsThatOfTheWhole(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, length := range []int{0, 1, 24, block - 1, block, block + 1, 5 * block, 5*block + 77} {
		text := make([]byte, length)
		for i := range text {
			text[i] = byte(rnd.Uint32())
		}
		want := Total{Bytes: int64(length), Sum: sumOf(text), Summed: true}
		for _, longest := range []int{length, 1, 1000, block, 3 * block} {
			if got := totalOf(text, longest, true); got != want {
				t.Errorf("of %d bytes in pieces of at most %d: %v, want %v", length, longest, got, want)
			}
		}
		if got := totalOf(text, 1000, false); got != (Total{Bytes: int64(length)}) {
			t.Errorf("without checksum: %v", got)
		}
	}
}

const block = 16 << 10

func sumOf(text []byte) (sum uint64) {
	for piece := range slices.Chunk(text, block) {
		both := binary.LittleEndian.AppendUint64(nil, sum)
		sum = xxh3.Hash(binary.LittleEndian.AppendUint64(both, xxh3.Hash(piece)))
	}
	return sum
}

// totalOf counts a text in pieces of random lengths.
func totalOf(text []byte, longest int, summed bool) Total {
	rnd := rand.New(rand.NewPCG(3, 4))
	c := NewCounter(summed)
	for len(text) > 0 {
		n := min(len(text), 1+rnd.IntN(longest))
		_, _ = c.Write(text[:n])
		_, _ = c.Write(nil)
		text = text[n:]
	}
	return c.Total()
}

func TestSumFindsWhatHasChanged(t *testing.T) {
	t.Parallel()
	text := make([]byte, 3*block+5)
	counted := func(text []byte) uint64 { return totalOf(text, len(text), true).Sum }
	sum := counted(text)
	first := slices.Concat(bytes.Repeat([]byte{1}, block), text[block:])
	second := slices.Concat(text[:block], bytes.Repeat([]byte{1}, block), text[2*block:])
	if counted(first) == counted(second) {
		t.Error("the order of blocks makes no difference")
	}
	for _, i := range []int{0, block - 1, block, 2*block + 7, len(text) - 1} {
		text[i] ^= 1
		if counted(text) == sum {
			t.Errorf("one bit of byte %d makes no difference", i)
		}
		text[i] ^= 1
	}
}
