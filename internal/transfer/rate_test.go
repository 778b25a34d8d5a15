package transfer

import "testing"

func TestRate(t *testing.T) {
	for want, bytes := range map[string]int64{
		"0.0 B/s": 0, "1023.0 B/s": 1023, "1.0 KiB/s": 1024, "1.5 MiB/s": 3 << 19, "2048.0 GiB/s": 1 << 41,
	} {
		if got := Rate(bytes, 1e9); got != want {
			t.Errorf("%d bytes in a second: %s, want %s", bytes, got, want)
		}
	}
	Rate(1, 0) // no time at all
}
