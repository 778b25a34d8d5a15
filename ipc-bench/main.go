// Ipc-bench measures how fast messages get from one process to another: through
// pipes, FIFOs, sockets and shared memory, and through nothing at all, which is
// the limit.
//
// Run it alone, on a machine that has nothing else to do. For each mechanism and
// size of message it starts two processes, which send messages to each other, and
// prints how long one takes there and back, how many go one way in a second, and
// what that costs each of the two.
//
// The mechanisms are listed in mechanism.go, and each has a file: pipe.go,
// fifo.go, shm.go, memcpy.go. What the two processes do is in end.go, how they
// are started and told what to do in pair.go and cpu.go, what is made of their
// answers in measure.go. The rest is for the result: report.go, export.go,
// plot.go, and machine.go for where it was measured.
//
// "ipc-bench copies" counts what a message costs in system calls and copies:
// copies.go.
package main

import (
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/rundir"
	"example.com/ipcsuite/pkg/fork"
)

func main() {
	fork.Dispatch(roles(mechanisms()))
	os.Exit(command.Main(command.Spec{
		Name:  "ipc-bench",
		Usage: "how fast processes can talk to each other, and why",
		Description: `Measures round trips and one-way throughput between two processes, for each
mechanism of the suite, and prints a table.

Examples:
   ipc-bench                                          all, in less than 20 s
   ipc-bench --mechanism pipe,ring --size 64          two of them
   ipc-bench --size 1,64,4k,64k,1M --plot bench.svg   and two plots
   ipc-bench --cpu same                               both ends on one processor
   ipc-bench --json - | jq '.rows[].round_trip_ns.p50'
   ipc-bench --explain                                what the two ends of each row share
   ipc-bench copies                                   system calls and copies per message`,
		Flags:  runFlags,
		Action: runCommand,
		Commands: []command.Sub{
			{Name: "run", Usage: "the same as without a command", Default: true, Action: runCommand},
			{
				Name: "copies", Usage: "count what a message costs in system calls and copies", ArgsUsage: "[NAME …]",
				Description: "Checks by counting what is said about the copies that pipes and shared memory\nmake, and prints a line for each NAME: pipe, ring, mailbox and signal, or those\ngiven. The exit code is 1 if any is not as expected.",
				Flags:       copiesFlags, Action: copiesCommand,
			},
		},
	}))
}

// roles are what children of this program run.
func roles(all []mechanism) fork.Roles { return fork.Roles{endRole: serveEnd(all)} }

func runFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "mechanism", Usage: "a `list` of mechanisms: " + namesOf(mechanisms()) + " (default: all)"},
		&cli.StringFlag{Name: "size", Value: "64,4k,64k,1M", Usage: "a `list` of message sizes in bytes, with k or M for KiB or MiB"},
		&cli.IntFlag{Name: "messages", Usage: "how many messages in each of the two measurements of a row, instead of --duration"},
		&cli.DurationFlag{Name: "duration", Value: 150 * time.Millisecond, Usage: "how long each of the two measurements of a row takes"},
		&cli.StringFlag{Name: "cpu", Value: "auto", Usage: "where the two ends run, `auto|same|cross|list`: auto is cross where there are two processors"},
		&cli.StringFlag{Name: "ring-size", Value: "1M", Usage: "size of the rings in `bytes`, with k or M"},
		&cli.StringFlag{Name: "json", Usage: "write the result to `file` as JSON; - is stdout, instead of the table"},
		&cli.StringFlag{Name: "csv", Usage: "write the result to `file` as CSV, a line for each row; - likewise"},
		&cli.StringFlag{Name: "plot", Usage: "draw the result into `file`, whose name ends in .svg or .png"},
		rundir.Flag(),
		command.ExplainFlag(),
	}
}
