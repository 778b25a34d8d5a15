package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"example.com/ipcsuite/internal/explain"
)

// rounds is into how many parts a measurement is divided, so that one can see by
// how much it would have come out differently. Odd, so that there is a middle.
const rounds = 7

// noisyAbove is the relative spread of the rounds from which on a result is not
// fit to be quoted.
const noisyAbove = 0.15

// bench measures rows.
type bench struct {
	stderr   *os.File
	cpus     pinning
	dir      string
	ringSize int
	messages int               // of each measurement; 0: as many as take duration
	duration time.Duration     // of each measurement
	evidence *explain.Evidence // of what the two ends have in common
}

// row is what one mechanism does with messages of one size.
type row struct {
	mechanism string
	size      int
	skipped   string // why it was not measured, or ""

	nearCPUs, farCPUs []int // obtained
	trips             trips
	flow              flow
}

// trips is the time that a message takes to the other end and back.
type trips struct {
	messages  int
	histogram *hdrhistogram.Histogram // ns
	spread    float64                 // of the rounds' medians
	near, far usage
}

// flow is how fast messages go one way.
type flow struct {
	messages  int
	perSecond float64 // median of the rounds
	spread    float64
	near, far usage
}

func (r row) noisy() bool { return r.trips.spread > noisyAbove || r.flow.spread > noisyAbove }

// row measures one.
func (b *bench) row(ctx context.Context, m mechanism, size int) (row, error) {
	p := plan{size: size, ringSize: b.ringSize, dir: b.dir, oneCPU: b.cpus.oneCPU()}
	r := row{mechanism: m.name, size: size}
	if m.unfit != nil {
		if r.skipped = m.unfit(p); r.skipped != "" {
			return r, nil
		}
	}
	pr, err := startPair(ctx, m, p, b.cpus, b.stderr)
	if err != nil {
		return r, fmt.Errorf("%s, %d bytes: %w", m.name, size, err)
	}
	defer pr.stop()
	pr.showShared(b.evidence, fmt.Sprintf("%s, %s", m.name, sizeText(size)))
	r.nearCPUs, r.farCPUs = pr.ends[0].self.CPUs, pr.ends[len(pr.ends)-1].self.CPUs
	if r.trips, err = b.trips(pr); err == nil {
		r.flow, err = b.flow(pr)
	}
	if err != nil {
		return r, fmt.Errorf("%s, %d bytes: %w", m.name, size, err)
	}
	return r, nil
}

func (b *bench) trips(pr *pair) (trips, error) {
	var medians []float64
	t := trips{histogram: newHistogram()}
	err := b.rounds(pr, roundTrips, func(n int, near, far answer) {
		h := hdrhistogram.Import(near.Trips)
		t.histogram.Merge(h)
		medians = append(medians, float64(h.ValueAtQuantile(50)))
		t.messages += n
		t.near, t.far = t.near.plus(near.Used), t.far.plus(far.Used)
	})
	_, t.spread = middle(medians)
	return t, err
}

func (b *bench) flow(pr *pair) (flow, error) {
	var rates []float64
	var f flow
	err := b.rounds(pr, oneWay, func(n int, near, far answer) {
		rates = append(rates, float64(n)/(far.End-near.Start).Seconds())
		f.messages += n
		f.near, f.far = f.near.plus(near.Used), f.far.plus(far.Used)
	})
	f.perSecond, f.spread = middle(rates)
	return f, err
}

// rounds warms up, and then has each round counted.
func (b *bench) rounds(pr *pair, do exercise, count func(n int, near, far answer)) error {
	if b.messages > 0 {
		if _, _, err := pr.round(do, (b.messages+rounds-1)/rounds); err != nil {
			return err
		}
		for left, i := b.messages, rounds; left > 0; i-- {
			n := (left + i - 1) / i
			left -= n
			near, far, err := pr.round(do, n)
			if err != nil {
				return err
			}
			count(n, near, far)
		}
		return nil
	}
	n, err := b.warmUp(pr, do)
	if err != nil {
		return err
	}
	for range rounds {
		near, far, err := pr.round(do, n)
		if err != nil {
			return err
		}
		count(n, near, far)
		// On a machine that has become busy meanwhile, as many would take too long.
		n = max(1, min(n, int(float64(n)*b.eachRound()/took(near, far))))
	}
	return nil
}

// eachRound is how long a round should take, in ns.
func (b *bench) eachRound() float64 { return float64(b.duration) / rounds }

// took returns how long a round has taken, in ns.
func took(near, far answer) float64 {
	return float64(max(near.End, far.End, near.Start+1) - near.Start)
}

// warmUp makes rounds for about as long as one should take, and returns of how
// many messages such a round is. Meanwhile the pages that are used get touched,
// and the processors awake.
func (b *bench) warmUp(pr *pair, do exercise) (int, error) {
	const least = 4 // rounds, so that the growth from one message gets somewhere
	want := b.eachRound()
	// each is what a message takes in the largest rounds: a few are over before
	// the sender has to wait, or have been held up.
	each, spent, most := 0.0, 0.0, 0
	for i, n := 0, 1; i < least || spent < want; i++ {
		near, far, err := pr.round(do, n)
		if err != nil {
			return 0, err
		}
		t := took(near, far)
		if spent += t; n > most {
			each, most = t/float64(n), n
		} else {
			each = min(each, t/float64(n))
		}
		n = int(max(1, min(want/least/each, 16*float64(n), maxMessages)))
	}
	return int(max(1, min(want/each, maxMessages))), nil
}

// maxMessages is a bound for --messages and for what --duration leads to.
const maxMessages = 1_000_000_000

// middle returns the median of values and how far they are spread: the distance
// of the quartiles, relative to the median.
func middle(values []float64) (median, spread float64) {
	if len(values) == 0 {
		return 0, 0
	}
	slices.Sort(values)
	last := len(values) - 1
	median = values[(last+1)/2]
	return median, (values[last-last/4] - values[last/4]) / median
}
