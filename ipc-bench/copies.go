package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/finding"
	"example.com/ipcsuite/internal/rundir"
)

// One reads that a pipe needs four copies of the data, from a file to a file, and
// shared memory two, and that this makes it the fastest. The counts are made with
// both ends on one processor, where each waits for the other in the same calls
// every time.

const (
	largeMessage = 4096 // bytes; a page, so that a pipe gives it out in one read
	smallMessage = 64
	countedMoves = 400 // messages
	timedTrips   = 200 // in a turn
	// apart is by how much a count per message may differ from a whole number:
	// the first and the last message need not wait like the others.
	apart = 0.05
)

// moveRecord is what messages cost on their way from file to file.
type moveRecord struct {
	Mechanism string             `json:"mechanism"`
	SizeBytes int                `json:"size_bytes"`
	Messages  int                `json:"messages"`
	Copies    float64            `json:"bytes_copied_by_kernel_per_byte"`
	Calls     map[string]float64 `json:"calls_per_message"`         // of both ends
	Runtime   float64            `json:"runtime_calls_per_message"` // of Go's scheduler
	unseen    string             // why Calls has reads and writes only, or ""
}

// all returns the number of system calls per message.
func (m moveRecord) all() float64 {
	sum := 0.0
	for _, n := range m.Calls {
		sum += n
	}
	return sum
}

func (m moveRecord) String() string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(m.Calls)) {
		words = append(words, fmt.Sprintf("%s %.2f", name, m.Calls[name]))
	}
	return fmt.Sprintf("the kernel copied each byte %.2f times; %.2f calls a message (%s)", m.Copies, m.all(), strings.Join(words, ", "))
}

// claims are what is said about copies.
func (l *copyLab) claims() []finding.Experiment {
	messages := fmt.Sprintf("%d messages of %d bytes", countedMoves, largeMessage)
	return []finding.Experiment{
		{
			Name: "pipe", Did: messages + " are read from a file, sent through a pipe, and written to a file by the other process",
			Expected: "4 copies of each byte by the kernel, in 4 system calls a message",
			Why:      "file to process, process to pipe, pipe to process, process to file: the pipe is in the kernel, and so each step is a call that copies",
			See: l.large("pipe", func(m moveRecord) bool {
				return math.Abs(m.Copies-4) < apart && math.Abs(m.all()-4) < apart
			}),
		},
		{
			Name: "ring", Did: messages + " are read from a file straight into a ring in shared memory, and by the other process written to a file straight out of it",
			Expected: "2 copies of each byte by the kernel, and none by the processes",
			Why:      "file to segment and segment to file: read(2) and write(2) work on shared memory as on any other, and what else is called only wakes and waits",
			See:      l.large("ring", func(m moveRecord) bool { return math.Abs(m.Copies-2) < apart }),
		},
		{
			Name: "mailbox", Did: messages + " are read from a file, sent through the mailbox, and written to a file by the other process",
			Expected: "2 copies of each byte by the kernel, in more calls than a pipe needs",
			Why:      "with a buffer of its own at each end, the processes copy to the segment and out of it themselves, which no counter of the kernel shows: four copies again; and the tokens in the FIFO have to be waited for, written and read",
			See: l.large("mailbox", func(m moveRecord) bool {
				return math.Abs(m.Copies-2) < apart && (m.unseen != "" || m.all() > 4+apart)
			}),
		},
		{
			Name:     "signal",
			Did:      fmt.Sprintf("messages of %d bytes go through a pipe, and through the mailbox, with a FIFO as its signal; first counted, then timed in turns, there and back", smallMessage),
			Expected: "the mailbox takes more system calls than the pipe",
			Why:      "to copy 64 bytes takes nanoseconds and a system call hundreds of them: a token that announces a small message costs as much as the message itself, and to wait for a free slot comes on top; what shared memory saves in copies shows only in large messages",
			See:      l.signal,
		},
	}
}

// large makes an experiment with large messages, of which holds says whether they cost
// what is expected.
func (l *copyLab) large(mechanism string, holds func(moveRecord) bool) func(context.Context) (finding.Sight, error) {
	return func(ctx context.Context) (finding.Sight, error) {
		m, err := l.move(ctx, mechanism, largeMessage)
		if err != nil {
			return finding.Sight{}, fmt.Errorf("%s: %w", mechanism, err)
		}
		return sight(m.String(), holds(m), m), nil
	}
}

// sight is what was seen of those moves.
func sight(seen string, holds bool, moves ...moveRecord) finding.Sight {
	s := finding.Sight{Seen: seen, Holds: holds, Moves: moves}
	for _, m := range moves {
		if m.unseen != "" && !slices.Contains(s.Unseen, m.unseen) {
			s.Unseen = append(s.Unseen, m.unseen)
		}
	}
	return s
}

// copyLab makes moves.
type copyLab struct {
	bench *bench
	all   []mechanism
}

// move has messages moved from file to file, and counts.
func (l *copyLab) move(ctx context.Context, mechanism string, size int) (moveRecord, error) {
	rec := moveRecord{Mechanism: mechanism, SizeBytes: size, Messages: countedMoves}
	ms, err := named(l.all, []string{mechanism})
	if err != nil {
		return rec, err
	}
	var content []byte
	for payload := newPayload(size); len(content) < countedMoves*size; {
		content = append(content, payload.message(uint64(len(content)/size))...)
	}
	source, err := memoryFile("source", content)
	if err != nil {
		return rec, err
	}
	defer source.Close()
	sink, err := memoryFile("sink", nil)
	if err != nil {
		return rec, err
	}
	defer sink.Close()

	p := plan{size: size, ringSize: l.bench.ringSize, dir: l.bench.dir, oneCPU: true, source: source, sink: sink}
	pr, err := startPair(ctx, ms[0], p, l.bench.cpus, l.bench.stderr)
	if err != nil {
		return rec, err
	}
	defer pr.stop()
	if err := rec.count(pr, len(content)); err != nil {
		return rec, err
	}
	arrived, err := io.ReadAll(io.NewSectionReader(sink, 0, math.MaxInt64))
	if err == nil && !bytes.Equal(arrived, content) {
		err = fmt.Errorf("%w: what arrived in the file is not what was in the other", errCorrupted)
	}
	return rec, err
}

// count has the pair move the messages, which have that many bytes together, and counts
// their calls and copies.
func (rec *moveRecord) count(pr *pair, bytes int) error {
	var tracers []*tracer
	for _, end := range pr.ends {
		t, err := trace(end.self.Thread)
		if err != nil {
			rec.unseen = fmt.Sprintf("calls other than read and write: %v", err)
			break
		}
		tracers = append(tracers, t)
	}
	near, far, err := pr.round(move, countedMoves)
	if err != nil {
		return err
	}
	rec.Copies = float64(near.Copied.To+near.Copied.From+far.Copied.To+far.Copied.From) / float64(bytes)
	counted := calls{unix.SYS_READ: int(near.Copied.Reads + far.Copied.Reads), unix.SYS_WRITE: int(near.Copied.Writes + far.Copied.Writes)}
	if rec.unseen == "" {
		clear(counted)
		for _, t := range tracers {
			ofEnd, err := t.result()
			if err != nil {
				return err
			}
			for call, n := range ofEnd {
				counted[call] += n
			}
		}
	}
	rec.Calls = map[string]float64{}
	for call, n := range counted {
		if name := nameOf(call); name != "" {
			rec.Calls[name] += float64(n) / countedMoves
		} else {
			rec.Runtime += float64(n) / countedMoves
		}
	}
	return nil
}

// memoryFile is a file that has no name and is on no disk.
func memoryFile(name string, content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.WriteAt(content, 0); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// signal compares a pipe with the mailbox, for one small message.
func (l *copyLab) signal(ctx context.Context) (finding.Sight, error) {
	pipe, err := l.move(ctx, "pipe", smallMessage)
	if err != nil {
		return finding.Sight{}, err
	}
	box, err := l.move(ctx, "mailbox", smallMessage)
	if err != nil {
		return finding.Sight{}, err
	}
	ratio, times, err := l.timeInTurns(ctx, "pipe", "mailbox")
	if err != nil {
		return finding.Sight{}, err
	}
	// Reading from the file and writing to the other are two of the calls.
	seen := fmt.Sprintf("%.2f calls a message for the pipe and %.2f for the mailbox, beside the two on the files; there and back on one processor, the mailbox takes %.1f times as long (median of %d turns, the last %s and %s)",
		pipe.all()-2, box.all()-2, ratio, rounds, timeText(times[0]), timeText(times[1]))
	return sight(seen, box.all() > pipe.all()+apart, pipe, box), nil
}

// timeInTurns times small messages there and back through two mechanisms. It returns how
// many times as long the second takes, in the median of all turns, and the times of the
// last turn in nanoseconds.
func (l *copyLab) timeInTurns(ctx context.Context, mechanisms ...string) (ratio float64, times [2]float64, err error) {
	var pairs [2]*pair
	for i, name := range mechanisms {
		ms, err := named(l.all, []string{name})
		if err != nil {
			return 0, times, err
		}
		p := plan{size: smallMessage, dir: l.bench.dir, oneCPU: true}
		if pairs[i], err = startPair(ctx, ms[0], p, l.bench.cpus, l.bench.stderr); err != nil {
			return 0, times, err
		}
		defer pairs[i].stop()
	}
	var ratios []float64
	for turn := range 1 + rounds {
		for i, pr := range pairs {
			near, _, err := pr.round(roundTrips, timedTrips)
			if err != nil {
				return 0, times, err
			}
			times[i] = float64(hdrhistogram.Import(near.Trips).ValueAtQuantile(50))
		}
		if turn > 0 { // the first warms up
			ratios = append(ratios, times[1]/times[0])
		}
	}
	ratio, _ = middle(ratios)
	return ratio, times, nil
}

func copiesFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "json", Usage: "print a JSON object on each line"},
		rundir.Flag(),
	}
}

func copiesCommand(ctx context.Context, env *command.Env, c *cli.Context) error {
	dir, names := c.String("dir"), c.Args().Slice()
	l := &copyLab{all: mechanisms(), bench: &bench{stderr: env.Stderr, dir: dir, ringSize: 1 << 20}}
	series := finding.Series{Kind: "copies", All: l.claims(), Out: env.Stdout, JSON: c.Bool("json")}
	if err := series.Check(names); err != nil {
		return err
	}
	if err := rundir.Open(dir); err != nil {
		return err
	}
	allowed, err := allowedCPUs()
	if err != nil {
		return err
	}
	if l.bench.cpus, err = choose("same", allowed); err != nil {
		return err
	}
	return series.Run(ctx, names)
}
