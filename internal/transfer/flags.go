package transfer

import (
	"github.com/urfave/cli/v2"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/pkg/ring"
)

// Flags are --stream, which has that usage, and --no-checksum.
func Flags(usage string) []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "stream", Usage: usage},
		&cli.BoolFlag{Name: "no-checksum", Usage: "with --stream, compare only the length at the end"},
	}
}

// Wanted reports whether --stream is given. Flags that contradict it are wrong usage.
func Wanted(c *cli.Context) (bool, error) {
	wanted := c.Bool("stream")
	switch {
	case c.Bool("no-checksum") && !wanted:
		return false, command.UsageErrorf("--no-checksum: only --stream has one")
	case wanted && c.String("sync") == contract.SyncNone:
		return false, command.UsageErrorf("--sync none: a stream always waits for its reader: leave out --sync or --stream")
	}
	return wanted, nil
}

// SegmentSize returns the size in bytes of a segment that holds a ring of that capacity.
// A capacity that no segment can hold is wrong usage.
func SegmentSize(capacity int) (int, error) {
	if capacity+ring.Overhead < capacity {
		return 0, command.UsageErrorf("--size %d: that is more than there are addresses", capacity)
	}
	return capacity + ring.Overhead, nil
}
