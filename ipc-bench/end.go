package main

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/proc"
	"example.com/ipcsuite/pkg/fork"
	"example.com/ipcsuite/pkg/pipe"
)

const endRole = "end"

// order is one round, of which both ends get the same order.
type order struct {
	Do       exercise
	Messages int
	First    uint64 // the number of the first
}

type exercise int

const (
	// roundTrips: the near end sends a message, waits until it has it back, and
	// sends the next.
	roundTrips exercise = iota
	// oneWay: the near end sends as fast as it can, the far end receives.
	oneWay
	// move: the near end sends what it reads from a file, the far end writes what
	// it receives into one.
	move
)

// answer is what an end has to say about a round, or, before the first, about
// itself.
type answer struct {
	// Err says why the end ends; nothing else is set then but Gone, which is that
	// the reason lies with the other end.
	Err  string
	Gone bool

	CPUs   []int // on which it may run
	Thread int   // that does the work; 0: whichever Go chooses

	// On CLOCK_MONOTONIC, which is the same for all processes.
	Start, End time.Duration
	Trips      *hdrhistogram.Snapshot // of the near end, in ns
	Used       usage

	Copied proc.Copied // by a move
}

// usage is what a process has used so far, all its threads together.
type usage struct {
	User, Sys              time.Duration
	Voluntary, Involuntary int64 // context switches
	Allocations            uint64
}

func (u usage) since(before usage) usage {
	return usage{
		User: u.User - before.User, Sys: u.Sys - before.Sys,
		Voluntary: u.Voluntary - before.Voluntary, Involuntary: u.Involuntary - before.Involuntary,
		Allocations: u.Allocations - before.Allocations,
	}
}

func (u usage) plus(v usage) usage {
	return usage{
		User: u.User + v.User, Sys: u.Sys + v.Sys,
		Voluntary: u.Voluntary + v.Voluntary, Involuntary: u.Involuntary + v.Involuntary,
		Allocations: u.Allocations + v.Allocations,
	}
}

func usedSoFar() (usage, error) {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return usage{}, os.NewSyscallError("getrusage", err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{
		User: time.Duration(r.Utime.Nano()), Sys: time.Duration(r.Stime.Nano()),
		Voluntary: int64(r.Nvcsw), Involuntary: int64(r.Nivcsw),
		Allocations: m.Mallocs,
	}, nil
}

func now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // every Linux has this clock
	}
	return time.Duration(ts.Nano())
}

// serveEnd is what the two measured processes run: they make rounds as they are
// told on standard input, and answer on standard output. The end of the orders,
// which is also the end of the program that gives them, ends it.
func serveEnd(all []mechanism) fork.Role {
	return func(ctx context.Context, _ []string) int {
		orders, answers := gob.NewDecoder(os.Stdin), gob.NewEncoder(os.Stdout)
		err := work(ctx, all, orders, answers)
		if err == nil {
			return 0
		}
		_ = answers.Encode(answer{Err: err.Error(), Gone: isGone(err)}) // where the program has gone too, nobody reads it
		return 1
	}
}

// isGone reports whether an error is how a link tells that the other end has gone.
func isGone(err error) bool {
	return slices.ContainsFunc([]error{errGone, unix.EPIPE, unix.ECONNRESET, io.EOF, io.ErrUnexpectedEOF}, func(e error) bool {
		return errors.Is(err, e)
	})
}

func work(ctx context.Context, all []mechanism, orders *gob.Decoder, answers *gob.Encoder) error {
	var a assignment
	if err := orders.Decode(&a); err != nil {
		return err
	}
	ms, err := named(all, []string{a.Mechanism})
	if err != nil {
		return err
	}
	m, self := ms[0], answer{}
	if !m.roaming {
		runtime.LockOSThread()
		self.Thread = unix.Gettid()
	}
	e, err := newEnd(ctx, m, a)
	if err != nil {
		return err
	}
	if self.CPUs, err = pinSelf(a.CPUs); err != nil {
		return err
	}
	if err := answers.Encode(self); err != nil {
		return err
	}
	for {
		var o order
		if err := orders.Decode(&o); err != nil {
			return nil // the end of the orders
		}
		done, err := e.round(o)
		if err != nil {
			return err
		}
		if err := answers.Encode(done); err != nil {
			return err
		}
	}
}

// end is one of the two processes, or both in one.
type end struct {
	payload *payload
	link    link
	buf     []byte
	file    int // for move
	steps   map[exercise]func(uint64) error
	trips   *hdrhistogram.Histogram // nil where this end does not measure them
	began   time.Time               // an origin for monotonic times that are cheap to take
}

// Trips are recorded up to longest, with 3 digits.
const longest = 10 * time.Second

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(longest), 3) }

func newEnd(ctx context.Context, m mechanism, a assignment) (*end, error) {
	e := &end{payload: newPayload(a.Size), buf: make([]byte, max(a.Size, pipe.Atomic)), began: time.Now(), file: a.File}
	if a.Near {
		e.trips = newHistogram()
	}
	if m.pair != nil {
		near, far := m.pair()
		e.link = near
		other := &end{payload: e.payload, link: far, buf: make([]byte, len(e.buf))}
		e.steps = map[exercise]func(uint64) error{
			roundTrips: e.timed(func(n uint64) error {
				if err := e.send(n); err != nil {
					return err
				}
				if err := other.echo(n); err != nil {
					return err
				}
				return e.receive(n)
			}),
			oneWay: func(n uint64) error {
				if err := e.send(n); err != nil {
					return err
				}
				return other.receive(n)
			},
		}
		return e, nil
	}
	var err error
	if e.link, err = m.join(ctx, a); err != nil {
		return nil, err
	}
	e.steps = map[exercise]func(uint64) error{roundTrips: e.echo, oneWay: e.receive, move: e.unload}
	if a.Near {
		e.steps = map[exercise]func(uint64) error{roundTrips: e.timed(e.ask), oneWay: e.send, move: e.load}
	}
	return e, nil
}

func (e *end) send(n uint64) error { return e.link.send(e.payload.message(n)) }

func (e *end) receive(n uint64) error {
	got, err := e.link.receive(e.buf)
	if err != nil {
		return err
	}
	return e.payload.check(n, got)
}

func (e *end) echo(n uint64) error {
	got, err := e.link.receive(e.buf)
	if err != nil {
		return err
	}
	if err := e.payload.check(n, got); err != nil {
		return err
	}
	return e.link.send(got)
}

func (e *end) ask(n uint64) error {
	if err := e.send(n); err != nil {
		return err
	}
	return e.receive(n)
}

// timed records how long each step takes. The two looks at the clock cost some
// tens of nanoseconds, of which about one is in each time.
func (e *end) timed(step func(uint64) error) func(uint64) error {
	return func(n uint64) error {
		before := time.Since(e.began)
		if err := step(n); err != nil {
			return err
		}
		trip := min(time.Since(e.began)-before, longest)
		return e.trips.RecordValue(int64(trip))
	}
}

// round does what is ordered. Between its two looks at what was used there is
// nothing but the messages.
func (e *end) round(o order) (answer, error) {
	if o.Do == move {
		return e.moved(o)
	}
	if e.trips != nil {
		e.trips.Reset()
	}
	step := e.steps[o.Do]
	before, err := usedSoFar()
	if err != nil {
		return answer{}, err
	}
	start := now()
	for n := o.First; n < o.First+uint64(o.Messages); n++ {
		if err := step(n); err != nil {
			return answer{}, fmt.Errorf("message %d: %w", n, err)
		}
	}
	end := now()
	after, err := usedSoFar()
	if err != nil {
		return answer{}, err
	}
	done := answer{Start: start, End: end, Used: after.since(before)}
	if e.trips != nil && o.Do == roundTrips {
		done.Trips = e.trips.Export()
	}
	return done, nil
}
