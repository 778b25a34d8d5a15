package transfer

import (
	"errors"
	"testing"
)

func TestParse(t *testing.T) {
	for _, total := range []Total{
		{},
		{Summed: true},
		{Bytes: 5, Sum: 0x93d4e2f4bcd0e6ab, Summed: true},
		{Bytes: 1 << 62},
	} {
		got, err := parse(total.String())
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
		if got, err := parse(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("end 5 xxh3 93d4e2f4bcd0e6ab")
	f.Add("end 5")
	f.Fuzz(func(t *testing.T, text string) {
		total, err := parse(text)
		if err == nil && (total.String() != text || total.Bytes < 0) {
			t.Errorf("%q is %v", text, total)
		}
	})
}

func TestCompare(t *testing.T) {
	here := Total{Bytes: 5, Sum: 7, Summed: true}
	for _, c := range []struct {
		sent Total
		same bool
	}{
		{here, true},
		{Total{Bytes: 5}, true},
		{Total{Bytes: 6}, false},
		{Total{Bytes: 4, Sum: 7, Summed: true}, false},
		{Total{Bytes: 5, Sum: 8, Summed: true}, false},
	} {
		if err := here.compare(c.sent); (err == nil) != c.same || err != nil && !errors.Is(err, ErrDiffers) {
			t.Errorf("%v: %v", c.sent, err)
		}
	}
	if err := (Total{Bytes: 5}).compare(here); err != nil {
		t.Errorf("without a checksum of one's own: %v", err)
	}
}
