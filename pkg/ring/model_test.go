package ring

import "testing"

// The waiting protocol as a machine of two programs, whose every step is one
// access to something shared. explore takes all the ways in which the steps can
// interleave. Accesses are sequentially consistent, as Go's atomic operations are.
//
// A look at the ring before a sleep is one step here. Time plays no part: an
// await goes on once the FIFO is as it wants, at any time after.
type state struct {
	tail, head                     int8
	ended                          bool
	readerWaits, writerWaits       bool
	token                          bool
	w, r                           int8 // next step of each
	emptySeen, endSeen, tokensSeen bool // what a look has found
}

// model is what stays the same. The flaws are orders of steps that look as good
// and are not: explore must find out.
type model struct {
	capacity, total int8
	flaw            string
}

// Steps of the writer, as in await, sleep, commit and End.
const (
	wLook = iota
	wReady
	wToken
	wFlag
	wAgain
	wAwait
	wUnflag
	wTail // and from here what wakes the reader
	wIfWaits
	wUnflagReader
	wBellReady
	wBell
	wDone
)

func (m model) enough(s state) bool {
	used := s.tail - s.head
	if s.ended {
		return used == 0 // Flush
	}
	return used < m.capacity
}

func (m model) writer(s state) (state, bool) {
	switch s.w {
	case wLook:
		s.w = wReady
		if m.flaw == "writer: flag before token" {
			s.w = wFlag
		}
		if m.enough(s) {
			s.w = wTail
			if s.ended {
				s.w = wDone
			}
		}
	case wReady:
		s.emptySeen = !s.token
		s.w = wToken
	case wToken:
		s.token = s.token || s.emptySeen
		s.w = wFlag
		if m.flaw == "writer: flag before token" {
			s.w = wAgain
		}
	case wFlag:
		s.writerWaits = true
		s.w = wAgain
		switch m.flaw {
		case "writer: flag before token":
			s.w = wReady
		case "writer: no second look":
			s.w = wAwait
		}
	case wAgain:
		s.w = wAwait
		if m.enough(s) {
			s.w = wUnflag
		}
	case wAwait:
		if s.token {
			return s, false
		}
		s.w = wUnflag
	case wUnflag:
		s.writerWaits = false
		s.w = wLook
	case wTail:
		if s.tail == m.total {
			s.ended = true
		} else {
			s.tail++
		}
		s.w = wIfWaits
		if m.flaw == "writer: never rings" {
			s.w = wLook
		}
	case wIfWaits:
		s.w = wLook
		if s.readerWaits {
			s.w = wUnflagReader
		}
	case wUnflagReader:
		s.readerWaits = false
		s.w = wBellReady
	case wBellReady:
		s.emptySeen = !s.token
		s.w = wBell
	case wBell:
		s.token = s.token || s.emptySeen
		s.w = wLook
	case wDone:
		return s, false
	}
	return s, true
}

// Steps of the reader, as in await, sleep and discard.
const (
	rLook = iota
	rFlag
	rEnded
	rAgain
	rAwait
	rPending
	rTake
	rUnflag
	rHead
	rIfWaits
	rUnflagWriter
	rWakePending
	rWakeTake
	rDone
)

func (m model) reader(s state) (state, bool) {
	available := s.tail > s.head
	switch s.r {
	case rLook:
		s.r = rFlag
		if m.flaw == "reader: looks before the flag" {
			s.r = rEnded
		}
		if available {
			s.r = rHead
		}
	case rFlag:
		s.readerWaits = true
		s.r = rEnded
		if m.flaw == "reader: looks before the flag" {
			s.r = rAwait
		}
	case rEnded:
		s.endSeen = s.ended
		s.r = rAgain
	case rAgain:
		s.r = rAwait
		if m.flaw == "reader: looks before the flag" {
			s.r = rFlag
		}
		switch {
		case available:
			s.r = rUnflag
		case s.endSeen:
			s.r = rDone
		}
	case rAwait:
		if !s.token {
			return s, false
		}
		s.r = rPending
	case rPending:
		s.tokensSeen = s.token
		s.r = rTake
	case rTake:
		s.token = s.token && !s.tokensSeen
		s.r = rUnflag
	case rUnflag:
		s.readerWaits = false
		s.r = rLook
	case rHead:
		s.head++
		s.r = rIfWaits
	case rIfWaits:
		s.r = rLook
		if s.writerWaits {
			s.r = rUnflagWriter
			if m.flaw == "reader: token before flag" {
				s.r = rWakePending
			}
		}
	case rUnflagWriter:
		s.writerWaits = false
		s.r = rWakePending
		if m.flaw == "reader: token before flag" {
			s.r = rLook
		}
	case rWakePending:
		s.tokensSeen = s.token
		s.r = rWakeTake
	case rWakeTake:
		s.token = s.token && !s.tokensSeen
		s.r = rLook
		if m.flaw == "reader: token before flag" {
			s.r = rUnflagWriter
		}
	case rDone:
		return s, false
	}
	return s, true
}

// explore returns the number of states that can be reached, and a state from
// which the end cannot be reached any more, if there is one.
func (m model) explore() (states int, stuck *state) {
	before := map[state][]state{} // from where each is reached in one step
	queue := []state{{}}
	before[state{}] = nil
	var ends []state
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		if s.w == wDone && s.r == rDone && s.head == m.total {
			ends = append(ends, s)
		}
		for _, step := range []func(state) (state, bool){m.writer, m.reader} {
			next, ok := step(s)
			if !ok {
				continue
			}
			from, seen := before[next]
			before[next] = append(from, s)
			if !seen {
				queue = append(queue, next)
			}
		}
	}
	good := map[state]bool{}
	for len(ends) > 0 {
		s := ends[0]
		ends = ends[1:]
		if !good[s] {
			good[s] = true
			ends = append(ends, before[s]...)
		}
	}
	for s := range before {
		if !good[s] {
			return len(before), &s
		}
	}
	return len(before), nil
}

func TestNoWakeUpIsLost(t *testing.T) {
	for capacity := int8(1); capacity <= 3; capacity++ {
		m := model{capacity: capacity, total: 2*capacity + 2}
		states, stuck := m.explore()
		if stuck != nil {
			t.Errorf("capacity %d: stuck in %+v", capacity, *stuck)
		}
		t.Logf("capacity %d: %d states", capacity, states)
	}
}

// What proves the protocol good must prove others bad.
func TestModelFindsLostWakeUps(t *testing.T) {
	for _, flaw := range []string{
		"writer: flag before token",
		"writer: no second look",
		"writer: never rings",
		"reader: looks before the flag",
		"reader: token before flag",
	} {
		t.Run(flaw, func(t *testing.T) {
			if states, stuck := (model{2, 6, flaw}).explore(); stuck == nil {
				t.Errorf("nothing found in %d states", states)
			}
		})
	}
}
