package main

import (
	"os"
	"strings"
	"testing"
)

// A claim of another mechanism does not hold, and what cannot be measured is an error.
func TestClaimThatDoesNotHoldFails(t *testing.T) {
	t.Parallel()
	l := &copyLab{all: mechanisms(), bench: newBench(t, "same", 0)}
	l.bench.ringSize = 1 << 20
	seen, err := l.large("ring", func(m moveRecord) bool { return m.Copies > 3 })(limited(t))
	if err != nil || seen.Holds || !strings.Contains(seen.Seen, "the kernel copied each byte 2.") {
		t.Errorf("%+v, %v", seen, err)
	}
	if _, err := l.large("carrier-pigeon", func(moveRecord) bool { return true })(limited(t)); err == nil {
		t.Error("a mechanism that there is not: no error")
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
