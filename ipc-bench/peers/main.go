// Peers compares ipc-bench with the same loop in C: testdata/c/peer.c, which is
// all of the C there is in this project, and is built only here.
//
// "make peers" runs it. Each mechanism is measured in both languages in turn, with
// the same number of messages of the same size on the same processors, every byte
// checked on both sides. It prints the medians of the round trips, how far the runs
// are apart, and the median of the ratios of runs that followed each other: on a
// machine that has other work too, that holds better than the times do.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		stop()
		os.Exit(1)
	}
}

// match is two rows to be compared, by their names in ipc-bench and in peer.c.
type match struct {
	ours, theirs string
	crossOnly    bool
	trips        int // in each run
}

var matches = []match{
	{ours: "pipe", theirs: "pipe", trips: 3_000},
	{ours: "packet", theirs: "packet", trips: 3_000},
	{ours: "socket", theirs: "socket", trips: 3_000},
	{ours: "fifo", theirs: "fifo", trips: 3_000},
	{ours: "fifo", theirs: "fifo-poll", trips: 3_000},
	// Two that look without pause cannot share a processor.
	{ours: "ring-spin", theirs: "ring-spin", trips: 30_000, crossOnly: true},
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	size := flags.Int("size", 64, "of a message, in `bytes`")
	runs := flags.Int("runs", 7, "`number` of runs of each side")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *size < 1 || *runs < 1 || flags.NArg() > 0 {
		return errors.New("want --size and --runs of 1 or more, and no arguments")
	}
	dir, err := os.MkdirTemp("", "ipcsuite-peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is in the system's folder for what may go
	b := builds{dir: dir}
	if err := b.make(ctx); err != nil {
		return err
	}
	return b.print(ctx, stdout, *size, *runs)
}

// print measures, and prints each line when it is there.
func (b builds) print(ctx context.Context, stdout io.Writer, size, runs int) error {
	const format = "%-5s  %-9s  %9v  %6s  %-9s  %9v  %6s  %5s  %6s\n"
	if _, err := fmt.Fprintf(stdout, format, "CPUs", "Go", "p50", "spread", "C", "p50", "spread", "Go/C", "spread"); err != nil {
		return err
	}
	for _, cpu := range []string{"same", "cross"} {
		for _, m := range matches {
			if m.crossOnly && cpu == "same" {
				continue
			}
			c, err := b.compare(ctx, m, cpu, size, runs)
			if err != nil {
				return fmt.Errorf("%s, --cpu %s: %w", m.ours, cpu, err)
			}
			if _, err := fmt.Fprintf(stdout, format, cpu, m.ours, c.ours.time(), c.ours.spread(), m.theirs, c.theirs.time(), c.theirs.spread(),
				fmt.Sprintf("%.2f", c.ratios.median), c.ratios.spread()); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(stdout, "\np50 of a round trip of %d bytes, the median of %d runs; spread: (third quartile - first) / median of the runs\n", size, runs)
	return err
}

// builds are the two programs.
type builds struct{ dir string }

func (b builds) ours() string   { return filepath.Join(b.dir, "ipc-bench") }
func (b builds) theirs() string { return filepath.Join(b.dir, "peer") }

func (b builds) make(ctx context.Context) error {
	compiler, err := findCompiler()
	if err != nil {
		return err
	}
	const module = "example.com/ipcsuite/ipc-bench"
	where, err := output(ctx, exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", module))
	if err != nil {
		return err
	}
	source := filepath.Join(strings.TrimSpace(string(where)), "testdata", "c", "peer.c")
	cc := exec.CommandContext(ctx, compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", b.theirs(), source)
	if _, err := output(ctx, cc); err != nil {
		return err
	}
	// As the Makefile builds the binaries.
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.ours(), module)
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	_, err = output(ctx, build)
	return err
}

func findCompiler() (string, error) {
	if cc := os.Getenv("CC"); cc != "" {
		return cc, nil
	}
	for _, cc := range []string{"cc", "gcc", "clang"} {
		if path, err := exec.LookPath(cc); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no C compiler (cc, gcc, clang) in PATH, to build the loops to compare with: install one, or name it in CC")
}

// comparison is what a match comes to, times in ns.
type comparison struct{ ours, theirs, ratios sample }

func (b builds) compare(ctx context.Context, m match, cpu string, size, runs int) (comparison, error) {
	var ours, theirs, ratios []float64
	for range runs {
		o, cpus, err := b.runOurs(ctx, m, cpu, size)
		if err != nil {
			return comparison{}, err
		}
		t, err := b.runTheirs(ctx, m, cpus, size)
		if err != nil {
			return comparison{}, err
		}
		ours, theirs, ratios = append(ours, o), append(theirs, t), append(ratios, o/t)
	}
	return comparison{sampleOf(ours), sampleOf(theirs), sampleOf(ratios)}, nil
}

// runOurs returns the median of a run in ns, and the processors of the two ends.
func (b builds) runOurs(ctx context.Context, m match, cpu string, size int) (ns float64, cpus [2]int, err error) {
	text, err := output(ctx, exec.CommandContext(ctx, b.ours(), "--mechanism", m.ours, "--size", strconv.Itoa(size),
		"--messages", strconv.Itoa(m.trips), "--cpu", cpu, "--json", "-", "--dir", filepath.Join(b.dir, "run")))
	if err != nil {
		return 0, cpus, err
	}
	var result struct {
		Rows []struct {
			Skipped   string `json:"skipped"`
			Near      []int  `json:"near_cpus"`
			Far       []int  `json:"far_cpus"`
			RoundTrip struct {
				P50 float64 `json:"p50"`
			} `json:"round_trip_ns"`
		} `json:"rows"`
	}
	if err := json.Unmarshal(text, &result); err != nil {
		return 0, cpus, fmt.Errorf("ipc-bench --json: %w", err)
	}
	if len(result.Rows) != 1 {
		return 0, cpus, fmt.Errorf("ipc-bench --json: %d rows, want 1", len(result.Rows))
	}
	row := result.Rows[0]
	switch {
	case row.Skipped != "":
		return 0, cpus, errors.New(row.Skipped)
	case len(row.Near) != 1 || len(row.Far) != 1:
		return 0, cpus, fmt.Errorf("ipc-bench: ends on CPUs %v and %v, want one each", row.Near, row.Far)
	}
	return row.RoundTrip.P50, [2]int{row.Near[0], row.Far[0]}, nil
}

// runTheirs returns the median of a run in ns.
func (b builds) runTheirs(ctx context.Context, m match, cpus [2]int, size int) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, runTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.theirs(), m.theirs, strconv.Itoa(size), strconv.Itoa(m.trips), strconv.Itoa(cpus[0]), strconv.Itoa(cpus[1]))
	cmd.Dir = b.dir
	text, err := output(ctx, cmd)
	if err != nil {
		return 0, err
	}
	p50, _, _ := strings.Cut(string(text), " ")
	return strconv.ParseFloat(p50, 64)
}

// runTime is more than any run takes. Without it, an end that looks at a ring whose
// other end has failed would do so for ever.
const runTime = time.Minute

// output returns what cmd has printed. Its error has what it said on stderr.
func output(ctx context.Context, cmd *exec.Cmd) ([]byte, error) {
	text, err := cmd.Output()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, exit.Stderr)
	}
	return text, err
}

// sample is the middle of some values, and its quartiles.
type sample struct{ first, median, third float64 }

func sampleOf(values []float64) sample {
	slices.Sort(values)
	at := func(q float64) float64 { return values[int(q*float64(len(values)-1)+0.5)] }
	return sample{at(0.25), at(0.5), at(0.75)}
}

func (s sample) spread() string {
	return fmt.Sprintf("%.0f%%", 100*(s.third-s.first)/s.median)
}

func (s sample) time() time.Duration { return time.Duration(s.median).Round(10) }
