package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/pkg/fifo"
)

// watch is what --sync none makes of the server: it reads the segment over and over,
// whatever is in it and whether or not somebody is writing, until it reads quit, the last
// client leaves, or ctx is done. It never sleeps: nothing would wake it.
func (s *server) watch(ctx context.Context) error {
	reads := uint64(0)
	defer func() {
		s.env.Log.Notice().Uint64("reads", reads).Msg("read without access control")
		s.reportTally()
	}()
	gate := make(chan error, 1)
	go func() { gate <- s.awaitLeaving() }()
	var text, again []byte // two, so that the looking does not allocate
	for left := false; ; {
		var why error
		select {
		case err := <-gate:
			left = true // but one look more
			if why = err; errors.Is(err, io.EOF) {
				s.env.Log.Notice().Msg("the client has left")
				why = nil
			}
		default:
		}
		again = s.look(again[:0])
		reads++
		quit, err := s.seen(again, text)
		text, again = again, text
		switch {
		case err != nil || quit:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case left:
			return why
		}
	}
}

// seen prints a text that is another than that of the look before, torn or not. It
// reports whether the text ends the server.
func (s *server) seen(text, before []byte) (quit bool, err error) {
	_, body, numbered, _ := contract.Number(text)
	if bytes.Equal(text, before) {
		if numbered {
			s.tally.repeated++
		}
		return false, nil
	}
	s.evidence.full(s.slot)
	if first := s.tally.torn == 0; s.tally.message(text) && first {
		s.env.Log.Warn().Bytes("text", text).Msg("torn: the writer was half-way; the next are only counted")
	}
	if err := s.print(text); err != nil {
		return false, fmt.Errorf("%w: messages not printed: 1", err)
	}
	quit = string(text) == contract.Quit || string(body) == contract.Quit
	if quit {
		s.env.Log.Notice().Msg("quit")
	}
	return quit, nil
}

// awaitLeaving returns io.EOF when the last client has left, and otherwise why
// that cannot be waited for any more. A client that asks and waits is let go on.
func (s *server) awaitLeaving() error {
	tokens := make([]byte, fifo.Atomic)
	for warned := false; ; warned = true {
		if _, err := s.gate.Read(tokens); err != nil {
			return err
		}
		if !warned {
			s.env.Log.Warn().Msg("a client waits until its messages have been read, which here says nothing: give it --sync none too")
		}
	}
}

// look appends what the slot holds, up to the first NUL byte. It changes while
// it is looked at: only the copy counts.
func (s *server) look(text []byte) []byte {
	_ = s.slot.Use(func(mem []byte) error { // it is attached
		end := bytes.IndexByte(mem, 0)
		if end < 0 {
			end = len(mem)
		}
		text = append(text, mem[:end]...)
		return nil
	})
	text, _, _ = bytes.Cut(text, []byte{0})
	return text
}

// reportTally says what became of numbered messages, if there were any or if
// --sync asks for it.
func (s *server) reportTally() {
	if t := &s.tally; s.report || t.any() {
		s.env.Log.Notice().
			Uint64("whole", t.whole).Uint64("torn", t.torn).Uint64("lost", t.lost).Uint64("repeated", t.repeated).
			Msg("numbered messages")
	}
}
