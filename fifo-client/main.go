// Fifo-client is the writing side of a named pipe: it sends each argument, or
// each line of stdin, as one message to fifo-server.
//
// Start fifo-server in one terminal and this in another. Type lines, and end
// with Ctrl-D: the server then sees the end of file.
//
// Each message is one packet, which one of the server's readers gets whole,
// however fast others follow.
package main

import (
	"context"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"example.com/ipcsuite/internal/client"
	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/internal/explain"
)

func main() {
	os.Exit(command.Main(command.Spec{
		Name:      "fifo-client",
		Usage:     "send messages through a named pipe",
		ArgsUsage: "[MESSAGE ...]",
		Description: `Sends each MESSAGE, or without any each line of stdin, to fifo-server. A
message is 4096 bytes at most. A longer one is reported and not sent; the others
are, and the exit code is 1.

Ends with 0 when all messages are in the FIFO and a server is there to read
them. If it has gone, those that nobody has read are counted, and the exit code
is 1.

Examples:
   fifo-client                          type lines, end with Ctrl-D
   fifo-client hello "how are you"      two messages
   fifo-client -- --not-a-flag          a message that starts with a dash
   fifo-client --explain hello          what the kernel shows of each step
   seq 1000000 | fifo-client --wait 5s  as fast as it goes`,
		Flags: func() []cli.Flag {
			return slices.Concat(contract.FIFOFlags(), client.Flags(), []cli.Flag{command.ExplainFlag()})
		},
		Action: sendCommand,
	}))
}

func sendCommand(ctx context.Context, env *command.Env, c *cli.Context) error {
	input, err := client.InputOf(env, c)
	if err != nil {
		return err
	}
	server, err := client.ServerOf(c, "fifo-server", contract.PathFlag, contract.FIFO)
	if err != nil {
		return err
	}
	s := &sender{env: env, server: server, input: input}
	s.evidence = evidence{Evidence: explain.If(c.Bool("explain"), env.Log.Lines()), path: server.Path}
	if err := s.open(ctx); err != nil {
		return err
	}
	return s.send(ctx)
}
