// Fifo-server is the reading side of a named pipe: it makes the FIFO, waits
// for a client, and starts three reader processes that inherit the one open
// descriptor. Each message goes to one of them, whichever the kernel wakes.
//
// Run it in one terminal and fifo-client in another. Each line typed there
// appears here with the pid of the reader that got it; when the client leaves,
// the readers see the end of file and all ends.
//
// The order of the steps is that of serve in server.go; what a reader does is
// in reader.go, and how it prints in printer.go. The memory that all of them have
// in common (shared.go) tells what is lost with a reader that is killed: ledger.go,
// hand.go. What --explain shows is in explain.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/urfave/cli/v2"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/rundir"
	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/fork"
)

// fifoName is the FIFO in --dir, the same for fifo-client.
const fifoName = "fifo.ipc"

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
			Flags:       pathFlags,
			Action:      healthCommand,
		}},
	}))
}

func pathFlags() []cli.Flag {
	return []cli.Flag{
		rundir.Flag(),
		&cli.StringFlag{Name: "path", Usage: "the FIFO, anywhere (default: " + fifoName + " in --dir)"},
	}
}

func flags() []cli.Flag {
	return append(pathFlags(),
		&cli.IntFlag{Name: "readers", Value: 3, Usage: "how many reader processes"},
		command.ModeFlag("the FIFO"),
		&cli.BoolFlag{Name: "keep-alive", Usage: "go on after the last client has left"},
		&cli.IntFlag{Name: "pipe-size", Usage: "capacity of the FIFO in `bytes`; 0 is 1 MiB, or less where that is not allowed"},
		command.ExplainFlag(),
	)
}

func serveCommand(ctx context.Context, env *command.Env, c *cli.Context) error {
	mode, err := command.Mode(c)
	switch {
	case err != nil:
		return err
	case c.Int("readers") < 1:
		return command.UsageErrorf("--readers %d: want at least 1", c.Int("readers"))
	case c.Int("pipe-size") < 0:
		return command.UsageErrorf("--pipe-size %d: want a number of bytes", c.Int("pipe-size"))
	}
	path, err := rundir.Path(c, "path", fifoName)
	if err != nil {
		return err
	}
	s := &server{
		env:       env,
		path:      path,
		mode:      mode,
		readers:   c.Int("readers"),
		keepAlive: c.Bool("keep-alive"),
		pipeSize:  c.Int("pipe-size"),
	}
	if c.Bool("explain") {
		s.evidence = &evidence{stderr: env.Stderr, path: path}
	}
	return s.serve(ctx)
}

func healthCommand(_ context.Context, env *command.Env, c *cli.Context) error {
	path, err := rundir.Path(c, "path", fifoName)
	if err != nil {
		return err
	}
	err = fifo.Live(path)
	var live *fifo.LiveError
	switch {
	case errors.As(err, &live):
		env.Log.Debug().Ints("pids", live.PIDs).Msg("alive")
		return nil
	case err == nil:
		return fmt.Errorf("FIFO %s: no process serves it: start fifo-server", path)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: start fifo-server", err)
	}
	return err
}
