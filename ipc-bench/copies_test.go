package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
)

func TestClaimThatDoesNotHoldFails(t *testing.T) {
	t.Parallel()
	refuted := claim{finding{Name: "wrong", Expected: "one"}, func(*copyLab, context.Context) ([]moveRecord, string, bool, error) {
		return nil, "another", false, nil
	}}
	impossible := claim{finding{Name: "broken"}, func(*copyLab, context.Context) ([]moveRecord, string, bool, error) {
		return nil, "", true, errCorrupted
	}}
	var out strings.Builder
	err := new(copyLab).check(t.Context(), []claim{refuted}, &out, false)
	if err == nil || !strings.Contains(err.Error(), "wrong") || !strings.HasPrefix(out.String(), "copies wrong: FAIL") {
		t.Errorf("error %v, output %q", err, &out)
	}
	if err := new(copyLab).check(t.Context(), []claim{impossible}, &out, false); !errors.Is(err, errCorrupted) {
		t.Errorf("error %v", err)
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
