package stream_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/zeebo/xxh3"

	"example.com/ipcsuite/internal/stream"
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
		want := stream.Total{Bytes: int64(length), Sum: sumOf(text), Summed: true}
		for _, longest := range []int{length, 1, 1000, block, 3 * block} {
			if got := totalOf(text, longest, true); got != want {
				t.Errorf("of %d bytes in pieces of at most %d: %v, want %v", length, longest, got, want)
			}
		}
		if got := totalOf(text, 1000, false); got != (stream.Total{Bytes: int64(length)}) {
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
func totalOf(text []byte, longest int, summed bool) stream.Total {
	rnd := rand.New(rand.NewPCG(3, 4))
	flow := stream.NewFlow(summed)
	for len(text) > 0 {
		n := min(len(text), 1+rnd.IntN(longest))
		flow.Count(text[:n])
		flow.Count(nil)
		text = text[n:]
	}
	return flow.Total()
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

func TestParse(t *testing.T) {
	for _, total := range []stream.Total{
		{},
		{Summed: true},
		{Bytes: 5, Sum: 0x93d4e2f4bcd0e6ab, Summed: true},
		{Bytes: 1 << 62},
	} {
		got, err := stream.Parse(total.String())
		if err != nil || got != total {
			t.Errorf("%q is %v, %v", total, got, err)
		}
	}
	for _, text := range []string{
		"", "\x00", "end", "end ", "end x", "end -1", "end +1", "end 01", "end 1 ", "end 1\n", "end 1 xxh3", "end 1 xxh3 ",
		"end 1 xxh3 1", "end 1 xxh3 0x00000000000001", "end 1 xxh3 ABCDEF0123456789", "end 1 xxh3 10000000000000000",
		"end 1 xxh3 0000000000000000 ", "end 1 crc32 00000000",
		"end 99999999999999999999", "begin 1", "END 1",
	} {
		if got, err := stream.Parse(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("end 5 xxh3 93d4e2f4bcd0e6ab")
	f.Add("end 5")
	f.Fuzz(func(t *testing.T, text string) {
		total, err := stream.Parse(text)
		if err == nil && (total.String() != text || total.Bytes < 0) {
			t.Errorf("%q is %v", text, total)
		}
	})
}

func TestCompare(t *testing.T) {
	here := stream.Total{Bytes: 5, Sum: 7, Summed: true}
	for _, c := range []struct {
		sent stream.Total
		same bool
	}{
		{here, true},
		{stream.Total{Bytes: 5}, true},
		{stream.Total{Bytes: 6}, false},
		{stream.Total{Bytes: 4, Sum: 7, Summed: true}, false},
		{stream.Total{Bytes: 5, Sum: 8, Summed: true}, false},
	} {
		if err := here.Compare(c.sent); (err == nil) != c.same || err != nil && !errors.Is(err, stream.ErrDiffers) {
			t.Errorf("%v: %v", c.sent, err)
		}
	}
	if err := (stream.Total{Bytes: 5}).Compare(here); err != nil {
		t.Errorf("without a checksum of one's own: %v", err)
	}
}

func TestRate(t *testing.T) {
	for want, bytes := range map[string]int64{
		"0.0 B/s": 0, "1023.0 B/s": 1023, "1.0 KiB/s": 1024, "1.5 MiB/s": 3 << 19, "2048.0 GiB/s": 1 << 41,
	} {
		if got := stream.Rate(bytes, 1e9); got != want {
			t.Errorf("%d bytes in a second: %s, want %s", bytes, got, want)
		}
	}
	stream.Rate(1, 0) // no time at all
}
