// Shm-server is the receiving side of shared memory: it makes a System V
// segment and a FIFO, and prints every text that a client puts into the segment.
// The FIFO says when one is there, and holds the client back until it has been
// copied out.
//
// Run it in one terminal and shm-client in another. Each line typed there
// appears here; the line "quit" ends both, and then the segment and the FIFO are
// gone: see with "shm-server ls", or ipcs -m, before and after.
//
// With --sync none the FIFO only tells that a client comes and leaves, and the
// server reads the segment over and over, without asking: that shows what shared
// memory by itself does not do.
//
// The order of the steps is that of serve in server.go; how the segment is made,
// and taken over from a dead server, is in segment.go; ls, rm and stat are in
// tables.go, health in health.go; what --explain shows is in explain.go. The
// reading without asking is in unsynced.go, what it counts in tally.go; what --stream
// does is in stream.go.
package main

import (
	"context"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/internal/explain"
	"example.com/ipcsuite/internal/transfer"
)

func main() {
	os.Exit(command.Main(command.Spec{
		Name:  "shm-server",
		Usage: "print the messages that come through shared memory",
		Description: `Makes a System V shared memory segment, and a FIFO that says when a message is
in it. Prints each message on a line of its own, until the message "quit" or
until the client leaves; with --keep-alive until "quit" or Ctrl-C.

Examples:
   shm-server                                 serve one client
   shm-server --keep-alive                    serve clients until one says quit
   shm-server --key-path . --fifo ./fifo      what the original C++ programs use
   shm-server --explain                       what the kernel shows of each step
   shm-server --sync none                     without access control: see what is lost
   shm-server --stream >copy                  what goes into shm-client --stream
   shm-server ls                              all segments there are
   shm-server health && echo alive`,
		Flags:  serveFlags,
		Action: serveCommand,
		Commands: []command.Sub{
			{
				Name:    "serve",
				Usage:   "what shm-server does without a subcommand",
				Default: true,
				Action:  serveCommand,
			},
			{
				Name:        "ls",
				Usage:       "list the segments of this IPC namespace",
				Description: "Lists the segments of all users, as ipcs -m does, from /proc/sysvipc/shm.",
				Flags:       listFlags,
				Action:      listCommand,
			},
			{
				Name:        "rm",
				Usage:       "remove segments",
				Description: "Removes segments, as ipcrm does: one that is in use loses its key now and its\nmemory when the last process has detached it.",
				Flags:       removeFlags,
				Action:      removeCommand,
			},
			{
				Name:        "stat",
				Usage:       "explain one segment",
				Description: "Explains the numbers of the server's segment, or with --id of any other.",
				Flags:       statFlags,
				Action:      statCommand,
			},
			{
				Name:        "health",
				Usage:       "exit 0 if a live server serves",
				Description: "Takes --dir, --key-path, --proj-id and --fifo as the server does. For health\nchecks of containers.",
				Flags:       contract.ShmFlags,
				Action:      healthCommand,
			},
		},
	}))
}

func serveFlags() []cli.Flag {
	return slices.Concat(
		contract.ShmFlags(),
		[]cli.Flag{
			command.SizeFlag("size", 4096, "", "size of the segment in `bytes`, such as 64k or 1M, at least one more than the longest message; with --stream, of the ring, then 4M by default"),
			command.ModeFlag("segment and FIFO"),
			&cli.BoolFlag{Name: "keep-alive", Usage: "go on after the last client has left"},
			contract.SyncFlag(),
		},
		transfer.Flags("write to stdout what comes from stdin of shm-client --stream, any bytes"),
		[]cli.Flag{command.ExplainFlag()},
	)
}

func serveCommand(ctx context.Context, env *command.Env, c *cli.Context) error {
	s := &server{
		env:       env,
		keepAlive: c.Bool("keep-alive"),
		report:    c.IsSet("sync"),
		sum:       !c.Bool("no-checksum"),
	}
	s.evidence.Evidence = explain.If(c.Bool("explain"), env.Log.Lines())
	var err error
	if s.mode, err = command.Mode(c); err != nil {
		return err
	}
	if s.sync, err = contract.Sync(c); err != nil {
		return err
	}
	if s.stream, err = transfer.Wanted(c); err != nil {
		return err
	}
	if s.size, err = segmentSize(c, s.stream); err != nil {
		return err
	}
	if s.key, err = contract.KeyOf(c); err != nil {
		return err
	}
	if s.fifoPath, err = contract.Gate(c); err != nil {
		return err
	}
	return s.serve(ctx)
}
