// Shm-client is the sending side of shared memory: it puts each argument, or
// each line of stdin, into the segment that shm-server has made.
//
// Start shm-server in one terminal and this in another. Type lines: each appears
// in the other terminal. The line "quit" ends both, Ctrl-D only the client.
//
// The FIFO beside the segment carries 4 bytes for each message, whatever its
// length: they tell the server that the segment is full, and as long as they are
// there this side does not write to it. The message itself is in no pipe.
//
// How the two meet is in connection.go, and how messages are sent in client.go. With
// --sync none the client writes without asking (unsynced.go), and with --torn in two
// halves (torn.go): what comes of it, the server counts. With --stream it sends no
// messages but all of stdin, to stdout of the server (stream.go, readahead.go).
package main

import (
	"context"
	"os"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"example.com/ipcsuite/internal/client"
	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/internal/explain"
	"example.com/ipcsuite/internal/transfer"
)

func main() {
	os.Exit(command.Main(command.Spec{
		Name:      "shm-client",
		Usage:     "send messages through shared memory",
		ArgsUsage: "[MESSAGE ...]",
		Description: `Sends each MESSAGE, or without any each line of stdin, to shm-server. A message
has at most one byte less than the segment, and no NUL byte. Any other is reported
and not sent; the rest are, and the exit code is 1. The message "quit" ends the
server too.

Ends with 0 when the server has printed all messages (one with --sync none does not
promise that). Otherwise those that it has not are counted, and the exit code is 1.

With --sync none it does not wait until the previous message has been read, and
never learns what becomes of its messages. Then, and with --torn, it numbers them,
"#1 hello #1", so that the server can count what was torn, lost or repeated.

Examples:
   shm-client                            type lines, end with quit or Ctrl-D
   shm-client hello quit                 two messages
   shm-client -- --not-a-flag            a message that starts with a dash
   shm-client --wait 5s <README.md       as soon as there is a server
   shm-client --sync none --torn a b c   against shm-server --sync none
   shm-client --stream <disk.img         to shm-server --stream >copy.img
   shm-client --key-path . --fifo ./fifo what the original C++ programs use`,
		Flags:  flags,
		Action: sendCommand,
	}))
}

func flags() []cli.Flag {
	return slices.Concat(
		contract.ShmFlags(),
		[]cli.Flag{
			command.SizeFlag("size", 0, "any", "how many `bytes`, such as 64k or 1M, the segment, or with --stream the ring, must have at least"),
			// So that both sides can be given the same flags.
			&cli.StringFlag{Name: "mode", Usage: "taken, as shm-server has it, and without effect here"},
			&cli.BoolFlag{Name: "keep-alive", Usage: "likewise"},
		},
		client.Flags(),
		[]cli.Flag{
			contract.SyncFlag(),
			&cli.BoolFlag{Name: "torn", Usage: "write each message in two halves: a reader that does not wait sees the first alone"},
			&cli.DurationFlag{Name: "pause", Value: 20 * time.Millisecond, Usage: "time between the halves, with --torn"},
		},
		transfer.Flags("send stdin, any bytes, to stdout of shm-server --stream"),
		[]cli.Flag{command.ExplainFlag()},
	)
}

func sendCommand(ctx context.Context, env *command.Env, c *cli.Context) error {
	s, err := senderOf(env, c)
	if err != nil {
		return err
	}
	stream, err := transfer.Wanted(c)
	if err != nil {
		return err
	}
	if s.connection, err = connectionOf(env, c); err != nil {
		return err
	}
	if stream {
		return streamCommand(ctx, s.connection, c)
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	defer s.close()
	if err := s.makeBox(); err != nil {
		return err
	}
	return s.send(ctx)
}

// senderOf reads the flags that say what is sent, and how.
func senderOf(env *command.Env, c *cli.Context) (s *sender, err error) {
	s = &sender{torn: c.Bool("torn"), pause: c.Duration("pause")}
	if s.input, err = client.InputOf(env, c); err != nil {
		return nil, err
	}
	messages := s.input.Arguments
	if i := slices.Index(messages, contract.Quit); i >= 0 && i < len(messages)-1 {
		return nil, command.UsageErrorf("argument %d: %s ends both sides, and nothing can follow it", i+1, contract.Quit)
	}
	if s.pause < 0 {
		return nil, command.UsageErrorf("--pause %v: want a time, such as 20ms", s.pause)
	}
	s.sync, err = contract.Sync(c)
	return s, err
}

// connectionOf reads the flags that lead to the server.
func connectionOf(env *command.Env, c *cli.Context) (to connection, err error) {
	to.env = env
	to.evidence.Evidence = explain.If(c.Bool("explain"), env.Log.Lines())
	if to.size, err = command.Size(c, "size", 1); err != nil {
		return to, err
	}
	if to.server, err = client.ServerOf(c, "shm-server", contract.GateFlag, contract.Gate); err != nil {
		return to, err
	}
	to.key, err = contract.KeyOf(c)
	return to, err
}
