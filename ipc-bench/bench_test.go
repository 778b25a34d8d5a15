package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/suitetest"
)

func newBench(t *testing.T, cpu string, messages int) *bench {
	t.Helper()
	allowed, err := allowedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	cpus, err := choose(cpu, allowed)
	if err != nil {
		t.Fatal(err)
	}
	dir := suitetest.Dir(t)
	t.Cleanup(func() { suitetest.Clean(t, dir) })
	return &bench{stderr: os.Stderr, cpus: cpus, dir: dir, ringSize: 1 << 14, messages: messages}
}

func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 2*suitetest.Limit, errors.New("it hangs"))
	t.Cleanup(cancel)
	return ctx
}

// Less than a number, the longest packet, as much as the ring, and more than a
// pipe or the ring.
func TestEveryMechanismCarriesMessagesOfAllSizes(t *testing.T) {
	t.Parallel()
	for _, m := range mechanisms() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			for _, size := range []int{1, 4096, 1 << 14, 100_000} {
				b := newBench(t, "auto", 20)
				r, err := b.row(limited(t), m, size)
				if err != nil {
					t.Fatal(err)
				}
				skip := size > 4096 && (m.name == "packet" || m.name == "fifo") || m.name == "ring-spin" && b.cpus.oneCPU()
				if (r.skipped != "") != skip {
					t.Errorf("%d bytes: skipped %q", size, r.skipped)
				}
				if r.skipped != "" {
					continue
				}
				if r.trips.messages != 20 || r.trips.histogram.TotalCount() != 20 || r.flow.messages != 20 || r.flow.perSecond <= 0 {
					t.Errorf("%d bytes: %d round trips, %d in the histogram, %d one way, %v a second; want 20, 20, 20, more than 0",
						size, r.trips.messages, r.trips.histogram.TotalCount(), r.flow.messages, r.flow.perSecond)
				}
				if len(r.nearCPUs) != 1 || r.nearCPUs[0] != b.cpus.near[0] || r.farCPUs[0] != b.cpus.far[0] && m.pair == nil {
					t.Errorf("near end on %v, far end on %v, want %v", r.nearCPUs, r.farCPUs, b.cpus)
				}
			}
		})
	}
}

func TestBothEndsOnOneProcessor(t *testing.T) {
	t.Parallel()
	for _, m := range mechanisms() {
		r, err := newBench(t, "same", 20).row(limited(t), m, 64)
		if err != nil {
			t.Fatal(err)
		}
		if (r.skipped != "") != (m.name == "ring-spin") {
			t.Errorf("%s: skipped %q", m.name, r.skipped)
		}
	}
}

func TestSpoiltMessageFailsTheRun(t *testing.T) {
	t.Parallel()
	for _, m := range faulty() {
		_, err := newBench(t, "auto", faultFreeTrips-10).row(limited(t), m, 64)
		if err == nil || !strings.Contains(err.Error(), errCorrupted.Error()) {
			t.Errorf("%s: error %v", m.name, err)
		}
	}
}

func TestDurationDecidesHowManyMessages(t *testing.T) {
	t.Parallel()
	b := newBench(t, "auto", 0)
	b.duration = 20 * time.Millisecond
	r, err := b.row(limited(t), mechanisms()[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	if r.trips.messages < rounds || r.flow.messages < rounds {
		t.Errorf("%d and %d messages", r.trips.messages, r.flow.messages)
	}
}

// Some allocations belong to a round and not to its messages.
func TestMessagesDoNotAllocate(t *testing.T) {
	t.Parallel()
	const messages, perRound = 7000, 30
	for _, m := range mechanisms() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			r, err := newBench(t, "auto", messages).row(limited(t), m, 64)
			if err != nil {
				t.Fatal(err)
			}
			for what, u := range map[string]usage{"near, round trips": r.trips.near, "far, round trips": r.trips.far, "near, one way": r.flow.near, "far, one way": r.flow.far} {
				if u.Allocations > rounds*perRound {
					t.Errorf("%s: %d allocations for %d messages", what, u.Allocations, messages)
				}
			}
		})
	}
}

func startTestPair(t *testing.T, ctx context.Context, m mechanism) *pair {
	t.Helper()
	b := newBench(t, "auto", 0)
	pr, err := startPair(ctx, m, plan{size: 64, ringSize: b.ringSize, dir: b.dir}, b.cpus, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pr.stop)
	suitetest.Clean(t, b.dir) // when they have met, names are not needed any more
	return pr
}

func TestEndThatIsKilledIsTheError(t *testing.T) {
	t.Parallel()
	for _, m := range mechanisms() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			pr := startTestPair(t, limited(t), m)
			ends := pr.ends
			victim := ends[len(ends)-1]
			time.AfterFunc(50*time.Millisecond, func() { _ = victim.cmd.Process.Kill() }) // at whatever it then does
			_, _, err := pr.round(roundTrips, maxMessages)
			if err == nil || !strings.Contains(err.Error(), victim.name) || !strings.Contains(err.Error(), "killed") {
				t.Errorf("error %v, want one that says that %s was killed", err, victim.name)
			}
		})
	}
}

func TestEndOfTheContextEndsARound(t *testing.T) {
	t.Parallel()
	cause := errors.New("enough")
	for _, m := range mechanisms() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(limited(t))
			pr := startTestPair(t, ctx, m)
			time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
			if _, _, err := pr.round(oneWay, maxMessages); !errors.Is(err, cause) {
				t.Errorf("error %v, want %v", err, cause)
			}
		})
	}
}

func TestSegmentsGoWithTheEnds(t *testing.T) {
	t.Parallel()
	ctx := limited(t)
	b := newBench(t, "auto", 0)
	mt, err := meetRings(ctx, plan{size: 64, ringSize: 1 << 14, dir: b.dir})
	if err != nil {
		t.Fatal(err)
	}
	a := assignment{Names: mt.names}
	in, out, err := openSegments(a)
	if err != nil {
		t.Fatal(err)
	}
	mt.leave()
	if info, err := in.Stat(); err != nil || info.Attached != 1 {
		t.Fatalf("%v %v", info, err)
	}
	if err := errors.Join(in.Detach(), out.Detach()); err != nil {
		t.Fatal(err)
	}
	for _, seg := range []interface{ Attach() error }{in, out} {
		if err := seg.Attach(); !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EIDRM) {
			t.Errorf("the segment is still there: %v", err)
		}
	}
}
