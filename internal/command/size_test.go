package command

import (
	"math"
	"strconv"
	"testing"
)

func TestSizesTakeUnits(t *testing.T) {
	for text, want := range map[string]int{
		"0": 0, "1": 1, "64": 64, "64b": 64, "4k": 4096, "4K": 4096, "4kB": 4096, "4KiB": 4096,
		"1M": 1 << 20, "1MiB": 1 << 20, "1m": 1 << 20, "0x10": 16, "-5": -5, "-1k": -1024,
		strconv.Itoa(math.MaxInt): math.MaxInt,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
}

func TestWhatIsNoSize(t *testing.T) {
	for _, text := range []string{
		"", "k", "big", "4x", "4 k", "4kk", "4ki", "4ib", "4.5k", "1e3", "٤k",
		"9223372036854775808", "9223372036854775807k", "-9223372036854775808k",
	} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
}
