package main

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

func TestPayloadKnowsItsMessages(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 2, 7, 8, 9, 64, 4096, 100_000} {
		sender, receiver := newPayload(size), newPayload(size)
		for n := range uint64(2 * variants) {
			m := sender.message(n)
			if len(m) != size || bytes.ContainsAny(m, "\x00\n") {
				t.Fatalf("message %d of %d bytes has %d, or NUL, or a newline", n, size, len(m))
			}
			if err := receiver.check(n, m); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestPayloadFindsEveryChange(t *testing.T) {
	t.Parallel()
	const size, n = 100, 300
	sender, receiver := newPayload(size), newPayload(size)
	whole := bytes.Clone(sender.message(n))
	refused := func(what string, got []byte) {
		t.Helper()
		if err := receiver.check(n, got); !errors.Is(err, errCorrupted) {
			t.Errorf("%s: error %v", what, err)
		}
		if err := receiver.check(n, whole); err != nil {
			t.Errorf("after %s the message itself: %v", what, err)
		}
	}
	for i := range whole {
		changed := bytes.Clone(whole)
		changed[i]++
		refused("a byte that is another", changed)
	}
	refused("a byte too few", whole[:size-1])
	refused("a byte too many", append(bytes.Clone(whole), 'x'))
	for _, other := range []uint64{n - 1, n + 1, n + variants, n + 128, n + 1<<40} {
		refused("another message", bytes.Clone(newPayload(size).message(other)))
	}
	half := slices.Concat(whole[:size/2], newPayload(size).message(n + variants)[size/2-1:size-1])
	refused("the half of another", half)
}
