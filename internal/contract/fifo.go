// Package contract is what a server and its clients must agree on to meet: the names
// of their FIFOs, the key of the segment, and the words that mean something to both
// sides. Package transfer is the same for --stream.
package contract

import (
	"github.com/urfave/cli/v2"

	"example.com/ipcsuite/internal/rundir"
)

// FIFOName is the FIFO of fifo-server and fifo-client in --dir.
const FIFOName = "fifo.ipc"

// PathFlag is the name of the flag that leads to another FIFO than that in --dir.
const PathFlag = "path"

// FIFOFlags are --dir and --path, which lead to the FIFO of fifo-server.
func FIFOFlags() []cli.Flag {
	return []cli.Flag{
		rundir.Flag(),
		&cli.StringFlag{Name: PathFlag, Usage: "the FIFO, anywhere (default: " + FIFOName + " in --dir)"},
	}
}

// FIFO returns the path to which [FIFOFlags] lead. It opens --dir if that is the folder.
func FIFO(c *cli.Context) (string, error) { return rundir.Path(c, PathFlag, FIFOName) }
