package main

import (
	"errors"
	"os"
	"strings"
	"testing"

	"example.com/ipcsuite/internal/finding"
)

// A claim of another mechanism does not hold, and what cannot be measured is an error.
func TestClaimThatDoesNotHoldFails(t *testing.T) {
	t.Parallel()
	l := &copyLab{all: mechanisms(), bench: newBench(t, "same", 0)}
	l.bench.ringSize = 1 << 20
	var out strings.Builder
	check := func(mechanism string, holds bool) error {
		out.Reset()
		see := l.large(mechanism, func(moveRecord) bool { return holds })
		return finding.Series{Kind: "copies", Out: &out, All: []finding.Experiment{{Name: "wrong", See: see}}}.Run(limited(t), nil)
	}
	err := check("ring", false)
	if err == nil || !strings.Contains(err.Error(), "wrong") || !strings.HasPrefix(out.String(), "copies wrong: FAIL") ||
		!strings.Contains(out.String(), "the kernel copied each byte 2.") {
		t.Errorf("error %v, output %q", err, &out)
	}
	l.all = faulty()
	if err := check("flips-last-byte", true); !errors.Is(err, errCorrupted) || out.Len() > 0 {
		t.Errorf("error %v, output %q", err, &out)
	}
}

// A pipe of which both ends copy once more is not what the claim says.
func TestMoveCounts(t *testing.T) {
	t.Parallel()
	l := &copyLab{all: mechanisms(), bench: newBench(t, "same", 0)}
	m, err := l.move(limited(t), "packet", 100)
	if err != nil {
		t.Fatal(err)
	}
	if m.Copies != 4 || m.Messages != countedMoves {
		t.Errorf("%+v", m)
	}
	if m.Calls["read"] != 2 || m.Calls["write"] != 2 {
		t.Errorf("calls %v", m.Calls)
	}
}

func TestTraceOfWhatIsNoChildIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := trace(os.Getpid()); err == nil {
		t.Error("it follows itself")
	}
}
