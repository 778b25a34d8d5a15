package main

import "testing"

// A reader can be killed at any point between two messages. What it had in hand is
// counted at each.
func TestWhatAKilledReaderHadInHandIsCounted(t *testing.T) {
	t.Parallel()
	const size = 5000
	l, err := newLedger(2)
	if err != nil {
		t.Fatal(err)
	}
	mine, err := newHands(l, size)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := openHands(mine.file, l)
	if err != nil {
		t.Fatal(err)
	}
	server, reader := mine.of(1), theirs.of(1)
	read := func(text string) func() { return func() { copy(reader.buf, text) } }
	steps := []struct {
		what string
		do   func()
		want uint64
	}{
		{"it waits for a message", func() { reader.expect(0) }, 0},
		{"it has read one", read("hello"), 1},
		{"it has noted that", func() { reader.slot.hold(1) }, 1},
		{"it waits for the next", func() { reader.expect(1) }, 1},
		{"it has read that", read("\xff\xff"), 2},
		{"it has noted that too", func() { reader.slot.hold(2) }, 2},
		{"it has printed them", func() { reader.slot.hold(0) }, 0},
	}
	for killed := range steps {
		for _, step := range steps[:killed+1] {
			step.do()
		}
		if n := server.empty(); n != steps[killed].want {
			t.Errorf("killed when %s: %d messages in hand, want %d", steps[killed].what, n, steps[killed].want)
		}
		if n := server.empty(); n != 0 {
			t.Errorf("asked again: %d", n)
		}
	}
	if other := mine.of(0); len(other.buf) != size || len(server.buf) != size || other.empty() != 0 {
		t.Error("the places are not apart")
	}
}
