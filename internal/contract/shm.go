package contract

import (
	"github.com/urfave/cli/v2"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/rundir"
	"example.com/ipcsuite/pkg/sysv"
)

// GateName is the FIFO of shm-server and shm-client in --dir. It is the gate of their
// segment.
const GateName = "shm.fifo"

// GateFlag is the name of the flag that leads to another gate than that in --dir.
const GateFlag = "fifo"

// ProjID is the second argument of ftok(3), from which the key of the segment is made.
const ProjID = 306

// Quit is the message that ends both sides.
const Quit = "quit"

// The values of --sync: what holds the client back until its message is read.
const (
	SyncFIFO = "fifo"
	SyncNone = "none"
)

// KeyFlags are --dir, --key-path and --proj-id, which lead to the segment.
func KeyFlags() []cli.Flag {
	return []cli.Flag{
		rundir.Flag(),
		&cli.StringFlag{Name: "key-path", Usage: "the `file or folder` that the key is made from (default: --dir)"},
		&cli.IntFlag{Name: "proj-id", Value: ProjID, Usage: "the number that the key is made from; its low 8 bits count"},
	}
}

// Key is what the key of the segment is made from.
type Key struct {
	Path   string
	ProjID int
}

// KeyOf returns the Key to which [KeyFlags] lead. It opens --dir if that is the path.
func KeyOf(c *cli.Context) (Key, error) {
	path, err := rundir.Path(c, "key-path", "")
	return Key{path, c.Int("proj-id")}, err
}

// Parts returns the parts of the key, as they are now: the path can name another file
// later.
func (k Key) Parts() (sysv.KeyParts, error) { return sysv.PartsOf(k.Path, k.ProjID) }

// ShmFlags are [KeyFlags] and --fifo, which leads to the gate.
func ShmFlags() []cli.Flag {
	return append(KeyFlags(),
		&cli.StringFlag{Name: GateFlag, Usage: "the FIFO, anywhere (default: " + GateName + " in --dir)"})
}

// Gate returns the path of the FIFO to which [ShmFlags] lead. It opens --dir if that is
// the folder.
func Gate(c *cli.Context) (string, error) { return rundir.Path(c, GateFlag, GateName) }

// SyncFlag is --sync.
func SyncFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "sync", Value: SyncFIFO,
		Usage: "what holds the client back until a message is read: `fifo|none`; the same on both sides",
	}
}

// Sync returns the value of --sync.
func Sync(c *cli.Context) (string, error) {
	sync := c.String("sync")
	if sync != SyncFIFO && sync != SyncNone {
		return "", command.UsageErrorf("--sync %q: want %s or %s", sync, SyncFIFO, SyncNone)
	}
	return sync, nil
}
