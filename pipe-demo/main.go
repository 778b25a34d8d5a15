// Pipe-demo is an anonymous pipe between a parent and its child: the parent
// makes the pipe, starts a child that inherits its read end, and writes a
// message a second.
//
// Run it alone. Each message is printed by the child, under the child's pid;
// after the last the parent closes the pipe, the child reads the end of file
// and quits, and the parent says how.
//
// The parent's side is in parent.go, the child's in child.go.
package main

import (
	"context"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/pkg/fork"
	"example.com/ipcsuite/pkg/pipe"
)

func main() {
	fork.Dispatch(fork.Roles{childRole: printMessages})
	os.Exit(command.Main(command.Spec{
		Name:  "pipe-demo",
		Usage: "a parent talks to its child through an anonymous pipe",
		Description: `The parent writes numbered messages into a pipe, the child prints them.

Examples:
   pipe-demo                            seven messages, one a second
   pipe-demo --count 3 --interval 0s    three at once
   pipe-demo --message "hello child"`,
		Flags: func() []cli.Flag {
			return []cli.Flag{
				&cli.IntFlag{Name: "count", Value: 7, Usage: "how many messages"},
				&cli.DurationFlag{Name: "interval", Value: time.Second, Usage: "time between two messages"},
				&cli.StringFlag{Name: "message", Value: "I am father process", Usage: "`text` that stands before the number"},
			}
		},
		Action:   runCommand,
		Commands: []command.Sub{{Name: "run", Usage: "the same as without a command", Default: true, Action: runCommand}},
	}))
}

func runCommand(ctx context.Context, env *command.Env, c *cli.Context) error {
	p := &parent{
		env:      env,
		count:    c.Int("count"),
		interval: c.Duration("interval"),
		text:     c.String("message"),
	}
	switch longest := len(p.message(p.count)); {
	case p.count < 0:
		return command.UsageErrorf("--count %d: want 0 or more", p.count)
	case p.interval < 0:
		return command.UsageErrorf("--interval %v: want 0s or more", p.interval)
	case longest > pipe.Atomic:
		return command.UsageErrorf("--message of %d bytes: with its number it must fit in %d, which are written at once", len(p.text), pipe.Atomic)
	}
	return p.run(ctx)
}
