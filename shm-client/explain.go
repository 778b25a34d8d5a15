package main

import (
	"fmt"

	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/internal/explain"
	"example.com/ipcsuite/pkg/sysv"
)

// evidence prints what the kernel shows of each step of the client, with --explain.
type evidence struct{ *explain.Evidence }

// found is after shmget(2), which makes nothing here.
func (e evidence) found(key contract.Key, s *sysv.Segment) {
	if !e.Wanted() {
		return
	}
	if parts, err := key.Parts(); err == nil {
		e.Print(parts.String())
	}
	e.Print(fmt.Sprintf("key %v led to shmid %d, which from here on stands for it", s.Key(), s.ID()))
	e.Segment(s)
}

// opened is after open(2) of the FIFO, which only says when the slot is full.
func (e evidence) opened(path string) {
	object, _, seen := e.FIFO(path)
	if !seen {
		return
	}
	for _, reader := range e.Readers(object) {
		e.Holders(object, reader.PID)
	}
}
