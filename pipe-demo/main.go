// Pipe-demo is an anonymous pipe between a parent and its child: the parent
// makes the pipe, starts a child that inherits its read end, and writes a
// message a second.
//
// Run it alone. Each message is printed by the child, under the child's pid;
// after the last the parent closes the pipe, the child reads the end of file
// and quits, and the parent says how.
//
// The parent's side is in parent.go, the child's in child.go; explain.go shows
// what the kernel has to say to each step.
//
// "pipe-demo cases" and "pipe-demo facts" show how pipes behave by making
// experiments: cases.go, and facts.go with bytes.go and sharing.go. The processes in them
// make one system call after another, as they are told (lab.go, peer.go).
package main

import (
	"context"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/explain"
	"example.com/ipcsuite/internal/finding"
	"example.com/ipcsuite/pkg/fork"
	"example.com/ipcsuite/pkg/pipe"
)

func main() {
	fork.Dispatch(roles())
	os.Exit(command.Main(command.Spec{
		Name:  "pipe-demo",
		Usage: "a parent talks to its child through an anonymous pipe",
		Description: `The parent writes numbered messages into a pipe, the child prints them.

Examples:
   pipe-demo                            seven messages, one a second
   pipe-demo --count 3 --interval 0s    three at once
   pipe-demo --message "hello child"
   pipe-demo --explain                  what the kernel shows of each step
   pipe-demo cases                      a slow writer, a slow reader, and ends that close
   pipe-demo facts                      what kind of thing a pipe is
   pipe-demo cases --json 2 4           some of them, for programs
   pipe-demo cases --named              the same with named pipes`,
		Flags: func() []cli.Flag {
			return []cli.Flag{
				&cli.IntFlag{Name: "count", Value: 7, Usage: "how many messages"},
				&cli.DurationFlag{Name: "interval", Value: time.Second, Usage: "time between two messages"},
				&cli.StringFlag{Name: "message", Value: "I am father process", Usage: "`text` that stands before the number"},
				command.ExplainFlag(),
			}
		},
		Action: runCommand,
		Commands: []command.Sub{
			{Name: "run", Usage: "the same as without a command", Default: true, Action: runCommand},
			{
				Name: "cases", Usage: "show what happens when one side is slower, or leaves", ArgsUsage: "[1|2|3|4 …]",
				Description: "Runs the four cases of reading and writing between processes, and prints a line\nfor each. The exit code is 1 if any is not as expected. With --named, a named\npipe is used: it behaves the same in all of them.",
				Flags:       trialFlags, Action: trialCommand("case", trial.cases),
			},
			{
				Name: "facts", Usage: "show what kind of thing a pipe is", ArgsUsage: "[NAME …]",
				Description: "Measures each feature of a pipe, and prints a line for each. The exit code is 1\nif any is not as expected. With --named, a named pipe is used: only\nno-backing-file then fails, as a FIFO has an inode in a file system.\n\nNames:\n   " + finding.Series{All: trial{}.features()}.Names("\n   "),
				Flags:       trialFlags, Action: trialCommand("fact", trial.features),
			},
		},
	}))
}

// roles are what children of this program run.
func roles() fork.Roles { return fork.Roles{childRole: printMessages, peerRole: obey} }

func trialFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "json", Usage: "print a JSON object on each line"},
		&cli.BoolFlag{Name: "named", Usage: "make the experiments with named pipes, that is, FIFOs"},
	}
}

func trialCommand(kind string, catalogue func(trial) []finding.Experiment) command.Action {
	return func(ctx context.Context, env *command.Env, c *cli.Context) error {
		t := trial{stderr: env.Stderr, limit: tooLong, newPipe: pipe.New}
		if c.Bool("named") {
			t.newPipe = namedPipe
		}
		s := finding.Series{Kind: kind, All: catalogue(t), Out: env.Stdout, JSON: c.Bool("json")}
		return s.Run(ctx, c.Args().Slice())
	}
}

func runCommand(ctx context.Context, env *command.Env, c *cli.Context) error {
	p := &parent{
		env:      env,
		count:    c.Int("count"),
		interval: c.Duration("interval"),
		text:     c.String("message"),
	}
	p.evidence.Evidence = explain.If(c.Bool("explain"), env.Log.Lines())
	switch longest := len(p.message(max(0, p.count-1))); {
	case p.count < 0:
		return command.UsageErrorf("--count %d: want 0 or more", p.count)
	case p.interval < 0:
		return command.UsageErrorf("--interval %v: want 0s or more", p.interval)
	case longest > pipe.Atomic:
		return command.UsageErrorf("--message of %d bytes: with its number it must fit in %d, which are written at once", len(p.text), pipe.Atomic)
	}
	return p.run(ctx)
}
