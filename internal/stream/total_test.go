package stream_test

import (
	"errors"
	"hash/crc32"
	"testing"

	"example.com/ipcsuite/internal/stream"
)

func TestTotalOfPiecesIsThatOfTheWhole(t *testing.T) {
	text := []byte("a stream in three pieces")
	total := stream.Total{Summed: true}
	total.Add(text[:1])
	total.Add(nil)
	total.Add(text[1:])
	want := stream.Total{Bytes: int64(len(text)), CRC32: crc32.ChecksumIEEE(text), Summed: true}
	if total != want {
		t.Errorf("%v, want %v", total, want)
	}
	var length stream.Total
	length.Add(text)
	if length != (stream.Total{Bytes: int64(len(text))}) {
		t.Errorf("without checksum: %v", length)
	}
}

func TestParse(t *testing.T) {
	for _, total := range []stream.Total{
		{},
		{Summed: true},
		{Bytes: 5, CRC32: 0x3610a686, Summed: true},
		{Bytes: 1 << 62},
	} {
		got, err := stream.Parse(total.String())
		if err != nil || got != total {
			t.Errorf("%q is %v, %v", total, got, err)
		}
	}
	for _, text := range []string{
		"", "\x00", "end", "end ", "end x", "end -1", "end +1", "end 01", "end 1 ", "end 1\n", "end 1 crc32", "end 1 crc32 ",
		"end 1 crc32 1", "end 1 crc32 0x000001", "end 1 crc32 ABCDEF01", "end 1 crc32 100000000", "end 1 crc32 00000000 ",
		"end 99999999999999999999", "begin 1", "END 1",
	} {
		if got, err := stream.Parse(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("end 5 crc32 3610a686")
	f.Add("end 5")
	f.Fuzz(func(t *testing.T, text string) {
		total, err := stream.Parse(text)
		if err == nil && (total.String() != text || total.Bytes < 0) {
			t.Errorf("%q is %v", text, total)
		}
	})
}

func TestCompare(t *testing.T) {
	here := stream.Total{Bytes: 5, CRC32: 7, Summed: true}
	for _, c := range []struct {
		sent stream.Total
		same bool
	}{
		{here, true},
		{stream.Total{Bytes: 5}, true},
		{stream.Total{Bytes: 6}, false},
		{stream.Total{Bytes: 4, CRC32: 7, Summed: true}, false},
		{stream.Total{Bytes: 5, CRC32: 8, Summed: true}, false},
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
