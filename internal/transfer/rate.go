package transfer

import (
	"fmt"
	"time"
)

// Rate says in words how many bytes a second that is.
func Rate(bytes int64, d time.Duration) string {
	rate := float64(bytes) / max(d.Seconds(), 1e-9)
	for _, unit := range [...]string{"B/s", "KiB/s", "MiB/s"} {
		if rate < 1024 {
			return fmt.Sprintf("%.1f %s", rate, unit)
		}
		rate /= 1024
	}
	return fmt.Sprintf("%.1f GiB/s", rate)
}
