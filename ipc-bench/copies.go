package main

import (
	"bytes"
	"context"
	"encoding/json"
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

// finding is what was seen of one thing that is said, for programs.
type finding struct {
	Name     string   `json:"copies"`
	Pass     bool     `json:"pass"`
	Did      string   `json:"did"`
	Expected string   `json:"expected"`
	Seen     string   `json:"seen"`
	Why      string   `json:"why"`
	Unseen   []string `json:"unseen,omitempty"`

	Moves []moveRecord `json:"moves"`
}

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

// claim is one thing that is said about copies.
type claim struct {
	finding
	see func(*copyLab, context.Context) (moves []moveRecord, seen string, holds bool, err error)
}

func claims() []claim {
	messages := fmt.Sprintf("%d messages of %d bytes", countedMoves, largeMessage)
	return []claim{
		{finding{
			Name: "pipe", Did: messages + " are read from a file, sent through a pipe, and written to a file by the other process",
			Expected: "4 copies of each byte by the kernel, in 4 system calls a message",
			Why:      "file to process, process to pipe, pipe to process, process to file: the pipe is in the kernel, and so each step is a call that copies",
		}, func(l *copyLab, ctx context.Context) ([]moveRecord, string, bool, error) {
			m, err := l.move(ctx, "pipe", largeMessage)
			return []moveRecord{m}, m.String(), math.Abs(m.Copies-4) < apart && math.Abs(m.all()-4) < apart, err
		}},
		{finding{
			Name: "ring", Did: messages + " are read from a file straight into a ring in shared memory, and by the other process written to a file straight out of it",
			Expected: "2 copies of each byte by the kernel, and none by the processes",
			Why:      "file to segment and segment to file: read(2) and write(2) work on shared memory as on any other, and what else is called only wakes and waits",
		}, func(l *copyLab, ctx context.Context) ([]moveRecord, string, bool, error) {
			m, err := l.move(ctx, "ring", largeMessage)
			return []moveRecord{m}, m.String(), math.Abs(m.Copies-2) < apart, err
		}},
		{finding{
			Name: "mailbox", Did: messages + " are read from a file, sent through the mailbox, and written to a file by the other process",
			Expected: "2 copies of each byte by the kernel, in more calls than a pipe needs",
			Why:      "with a buffer of its own at each end, the processes copy to the segment and out of it themselves, which no counter of the kernel shows: four copies again; and the tokens in the FIFO have to be waited for, written and read",
		}, func(l *copyLab, ctx context.Context) ([]moveRecord, string, bool, error) {
			m, err := l.move(ctx, "mailbox", largeMessage)
			holds := math.Abs(m.Copies-2) < apart && (m.unseen != "" || m.all() > 4+apart)
			return []moveRecord{m}, m.String(), holds, err
		}},
		{finding{
			Name:     "signal",
			Did:      fmt.Sprintf("messages of %d bytes go through a pipe, and through the mailbox, with a FIFO as its signal; first counted, then timed in turns, there and back", smallMessage),
			Expected: "the mailbox takes more system calls than the pipe",
			Why:      "to copy 64 bytes takes nanoseconds and a system call hundreds of them: a token that announces a small message costs as much as the message itself, and to wait for a free slot comes on top; what shared memory saves in copies shows only in large messages",
		}, (*copyLab).signal},
	}
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
		return rec, err
	}
	counted := calls{unix.SYS_READ: int(near.Copied.Reads + far.Copied.Reads), unix.SYS_WRITE: int(near.Copied.Writes + far.Copied.Writes)}
	if rec.unseen == "" {
		clear(counted)
		for _, t := range tracers {
			ofEnd, err := t.result()
			if err != nil {
				return rec, err
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
	rec.Copies = float64(near.Copied.To+near.Copied.From+far.Copied.To+far.Copied.From) / float64(len(content))

	arrived, err := io.ReadAll(io.NewSectionReader(sink, 0, math.MaxInt64))
	if err == nil && !bytes.Equal(arrived, content) {
		err = fmt.Errorf("%w: what arrived in the file is not what was in the other", errCorrupted)
	}
	return rec, err
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
func (l *copyLab) signal(ctx context.Context) ([]moveRecord, string, bool, error) {
	pipe, err := l.move(ctx, "pipe", smallMessage)
	if err != nil {
		return nil, "", false, err
	}
	box, err := l.move(ctx, "mailbox", smallMessage)
	if err != nil {
		return nil, "", false, err
	}
	moves := []moveRecord{pipe, box}
	var pairs [2]*pair
	for i, name := range []string{"pipe", "mailbox"} {
		ms, err := named(l.all, []string{name})
		if err != nil {
			return nil, "", false, err
		}
		p := plan{size: smallMessage, dir: l.bench.dir, oneCPU: true}
		if pairs[i], err = startPair(ctx, ms[0], p, l.bench.cpus, l.bench.stderr); err != nil {
			return nil, "", false, err
		}
		defer pairs[i].stop()
	}
	var ratios []float64
	var times [2]float64
	for turn := range 1 + rounds {
		for i, pr := range pairs {
			near, _, err := pr.round(roundTrips, timedTrips)
			if err != nil {
				return nil, "", false, err
			}
			times[i] = float64(hdrhistogram.Import(near.Trips).ValueAtQuantile(50))
		}
		if turn > 0 { // the first warms up
			ratios = append(ratios, times[1]/times[0])
		}
	}
	ratio, _ := middle(ratios)
	// Reading from the file and writing to the other are two of the calls.
	seen := fmt.Sprintf("%.2f calls a message for the pipe and %.2f for the mailbox, beside the two on the files; there and back on one processor, the mailbox takes %.1f times as long (median of %d turns, the last %s and %s)",
		pipe.all()-2, box.all()-2, ratio, rounds, timeText(times[0]), timeText(times[1]))
	return moves, seen, box.all() > pipe.all()+apart, nil
}

func copiesFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "json", Usage: "print a JSON object on each line"},
		rundir.Flag(),
	}
}

func copiesCommand(ctx context.Context, env *command.Env, c *cli.Context) error {
	all := claims()
	var known []string
	for _, cl := range all {
		known = append(known, cl.Name)
	}
	names := c.Args().Slice()
	for _, name := range names {
		switch {
		case strings.HasPrefix(name, "-"):
			return command.UsageErrorf("argument %q: flags come before the names", name)
		case !slices.Contains(known, name):
			return command.UsageErrorf("%q: want any of %s, or none for all", name, strings.Join(known, ", "))
		}
	}
	dir := c.String("dir")
	if err := rundir.Open(dir); err != nil {
		return err
	}
	allowed, err := allowedCPUs()
	if err != nil {
		return err
	}
	cpus, err := choose("same", allowed)
	if err != nil {
		return err
	}
	l := &copyLab{all: mechanisms(), bench: &bench{stderr: env.Stderr, cpus: cpus, dir: dir, ringSize: 1 << 20}}
	if len(names) > 0 {
		all = slices.DeleteFunc(all, func(cl claim) bool { return !slices.Contains(names, cl.Name) })
	}
	return l.check(ctx, all, env.Stdout, c.Bool("json"))
}

// check checks the claims, and fails if any does not hold.
func (l *copyLab) check(ctx context.Context, all []claim, stdout io.Writer, asJSON bool) error {
	var failed []string
	for _, cl := range all {
		f, err := cl.find(ctx, l)
		if err != nil {
			return err
		}
		if err := f.print(stdout, asJSON); err != nil {
			return err
		}
		if !f.Pass {
			failed = append(failed, cl.Name)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("not seen as expected: %s: what was seen instead is on stdout", strings.Join(failed, ", "))
	}
	return nil
}

func (c claim) find(ctx context.Context, l *copyLab) (finding, error) {
	f := c.finding
	var err error
	if f.Moves, f.Seen, f.Pass, err = c.see(l, ctx); err != nil {
		return f, fmt.Errorf("%s: %w", c.Name, err)
	}
	for _, m := range f.Moves {
		if m.unseen != "" && !slices.Contains(f.Unseen, m.unseen) {
			f.Unseen = append(f.Unseen, m.unseen)
		}
	}
	return f, nil
}

// print reports a finding in one write.
func (f finding) print(w io.Writer, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(f)
	}
	verdict := "PASS"
	if !f.Pass {
		verdict = "FAIL"
	}
	line := fmt.Sprintf("copies %s: %s  %s. Expected: %s. Seen: %s. Why: %s.", f.Name, verdict, f.Did, f.Expected, f.Seen, f.Why)
	if len(f.Unseen) > 0 {
		line += " Not shown here: " + strings.Join(f.Unseen, "; ") + "."
	}
	_, err := fmt.Fprintln(w, line)
	return err
}
