// Fifo-server is the reading side of a named pipe: it makes the FIFO, waits
// for a client, and starts three reader processes that inherit the one open
// descriptor. Each message goes to one of them, whichever the kernel wakes.
//
// Run it in one terminal and fifo-client in another. Each line typed there
// appears here with the pid of the reader that got it; when the client leaves,
// the readers see the end of file and all ends.
//
// The order of the steps is that of serve in server.go, and stop.go is how it ends. What
// a reader does is in reader.go, how it prints in printer.go, and what it does when its
// server was killed in orphan.go. The memory that all of them have in common (shared.go)
// tells what is lost with a reader that is killed: ledger.go, hand.go. The health check
// is in health.go, and what --explain shows in explain.go.
package main

import (
	"context"
	"os"

	"github.com/urfave/cli/v2"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/internal/explain"
	"example.com/ipcsuite/pkg/fork"
)

func main() {
	fork.Dispatch(fork.Roles{readerRole: readMessages})
	os.Exit(command.Main(command.Spec{
		Name:  "fifo-server",
		Usage: "print the messages that come through a named pipe",
		Description: `Makes a FIFO and starts reader processes that share it. Every message that
fifo-client sends, from another terminal, is printed by one of them:

   [ <reader pid> ] client say : <message>

Ends when the client leaves, or with --keep-alive on Ctrl-C. The exit code is 1
if messages were lost, with a reader that was killed, say; they are counted.

Examples:
   fifo-server                          wait for one client
   fifo-server --keep-alive             serve clients until Ctrl-C
   fifo-server --readers 1 >log.txt     one reader: messages in order
   fifo-server --explain                what the kernel shows of each step
   fifo-server health && echo alive`,
		Flags:  flags,
		Action: serveCommand,
		Commands: []command.Sub{{
			Name:        "health",
			Usage:       "exit 0 if a live server serves the FIFO",
			Description: "Takes --dir and --path as the server does. For health checks of containers.",
			Flags:       contract.FIFOFlags,
			Action:      healthCommand,
		}},
	}))
}

func flags() []cli.Flag {
	return append(contract.FIFOFlags(),
		&cli.IntFlag{Name: "readers", Value: 3, Usage: "how many reader processes"},
		command.ModeFlag("the FIFO"),
		&cli.BoolFlag{Name: "keep-alive", Usage: "go on after the last client has left"},
		command.SizeFlag("pipe-size", 0, "0", "capacity of the FIFO in `bytes`, such as 64k or 1M; 0 is 1 MiB, or less where that is not allowed"),
		command.ExplainFlag(),
	)
}

func serveCommand(ctx context.Context, env *command.Env, c *cli.Context) error {
	mode, err := command.Mode(c)
	if err != nil {
		return err
	}
	pipeSize, err := command.Size(c, "pipe-size", 0)
	if err != nil {
		return err
	}
	if c.Int("readers") < 1 {
		return command.UsageErrorf("--readers %d: want at least 1", c.Int("readers"))
	}
	path, err := contract.FIFO(c)
	if err != nil {
		return err
	}
	s := &server{
		env:       env,
		path:      path,
		mode:      mode,
		readers:   c.Int("readers"),
		keepAlive: c.Bool("keep-alive"),
		pipeSize:  pipeSize,
		evidence:  evidence{Evidence: explain.If(c.Bool("explain"), env.Log.Lines()), path: path},
	}
	return s.serve(ctx)
}
