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
// With --sync none it writes without such a look, and with --torn in two halves:
// what comes of it, the server counts. See outbox.go.
//
// With --stream it sends no messages but all of stdin, to stdout of the server:
// see stream.go.
package main

import (
	"context"
	"io"
	"os"
	"slices"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/urfave/cli/v2"

	"example.com/ipcsuite/internal/client"
	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/rundir"
)

// fifoName is the FIFO in --dir, the same for shm-server.
const fifoName = "shm.fifo"

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
		Flags: func() []cli.Flag {
			return []cli.Flag{
				rundir.Flag(),
				&cli.StringFlag{Name: "key-path", Usage: "the `file or folder` that the key is made from (default: --dir)"},
				&cli.IntFlag{Name: "proj-id", Value: 306, Usage: "the number that the key is made from; its low 8 bits count"},
				&cli.StringFlag{Name: "fifo", Usage: "the FIFO, anywhere (default: " + fifoName + " in --dir)"},
				&cli.IntFlag{Name: "size", Usage: "how many `bytes` the segment, or with --stream the ring, must have at least; 0 for any size"},
				// So that both sides can be given the same flags.
				&cli.StringFlag{Name: "mode", Usage: "taken, as shm-server has it, and without effect here"},
				&cli.BoolFlag{Name: "keep-alive", Usage: "likewise"},
				&cli.DurationFlag{Name: "wait", Usage: "how long to wait for a server"},
				&cli.BoolFlag{Name: "quiet", Usage: "no prompt, no progress, no notices"},
				&cli.StringFlag{Name: "sync", Value: syncFIFO, Usage: "what holds this side back until a message is read: `fifo|none`; the same for shm-server"},
				&cli.BoolFlag{Name: "torn", Usage: "write each message in two halves: a reader that does not wait sees the first alone"},
				&cli.DurationFlag{Name: "pause", Value: 20 * time.Millisecond, Usage: "time between the halves, with --torn"},
				&cli.BoolFlag{Name: "stream", Usage: "send stdin, any bytes, to stdout of shm-server --stream"},
				&cli.BoolFlag{Name: "no-checksum", Usage: "with --stream, compare only the length at the end"},
				command.ExplainFlag(),
			}
		},
		Action: sendCommand,
	}))
}

func sendCommand(ctx context.Context, env *command.Env, c *cli.Context) error {
	messages, err := command.Messages(c, os.Args)
	if err != nil {
		return err
	}
	if i := slices.Index(messages, quit); i >= 0 && i < len(messages)-1 {
		return command.UsageErrorf("argument %d: %s ends both sides, and nothing can follow it", i+1, quit)
	}
	if size := c.Int("size"); c.IsSet("size") && size < 1 {
		return command.UsageErrorf("--size %d: want a number of bytes, at least 1", size)
	}
	switch sync, pause := c.String("sync"), c.Duration("pause"); {
	case sync != syncFIFO && sync != syncNone:
		return command.UsageErrorf("--sync %q: want %s or %s", sync, syncFIFO, syncNone)
	case pause < 0:
		return command.UsageErrorf("--pause %v: want a time, such as 20ms", pause)
	}
	server := connection{
		env:    env,
		projID: c.Int("proj-id"),
		size:   c.Int("size"),
	}
	if c.Bool("explain") {
		server.evidence = &evidence{stderr: env.Stderr}
	}
	if server.server, err = client.ServerOf(c, "shm-server", "fifo", fifoName); err != nil {
		return err
	}
	if server.keyPath, err = rundir.Path(c, "key-path", ""); err != nil {
		return err
	}
	if c.Bool("stream") || c.Bool("no-checksum") {
		return streamCommand(ctx, server, c)
	}
	s := &sender{
		connection: server,
		sync:       c.String("sync"),
		torn:       c.Bool("torn"),
		pause:      c.Duration("pause"),
		stdin:      len(messages) == 0,
		prompt:     len(messages) == 0 && isatty.IsTerminal(env.Stdin.Fd()) && !c.Bool("quiet"),
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	defer s.close()
	if err := s.makeBox(ctx); err != nil {
		return err
	}
	if len(messages) > 0 {
		return s.send(ctx, client.Arguments(messages))
	}
	prompt := io.Writer(nil)
	if s.prompt {
		prompt = env.Stderr
	}
	return s.send(ctx, client.Lines(env.Stdin, s.box.Max(), prompt))
}
