package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"example.com/ipcsuite/pkg/pipe"
)

// link is one end of a connection that carries messages of one size both ways.
type link interface {
	// send sends p as one message, and blocks while there is no room for it.
	send(p []byte) error
	// receive blocks until there is a message, and returns it in buf, which
	// holds one, and pipe.Atomic bytes or more; or in memory of its own that is
	// valid until the next call.
	receive(buf []byte) ([]byte, error)
}

// mechanism is a way to carry messages from one process to another.
type mechanism struct {
	name  string // in --mechanism
	about string
	// unfit says why a thing cannot be measured, or "".
	unfit func(p plan) string
	// meet makes, in the program's own process, what two ends need to meet.
	meet func(ctx context.Context, p plan) (*meeting, error)
	// join makes an end, in a process of its own. ctx ends what may block.
	join func(ctx context.Context, a assignment) (link, error)
	// pair makes both ends in one process, and takes the place of meet and join
	// where there is but one.
	pair func() (near, far link)
	// roaming leaves it to Go on which thread an end runs.
	roaming bool
}

// plan is what one row measures.
type plan struct {
	size         int      // of a message, in bytes
	ringSize     int      // in bytes
	dir          string   // for FIFOs
	source, sink *os.File // for a move: what the near end reads and the far end writes
	oneCPU       bool     // both ends have the same processor, and no other
}

// meeting is what two ends need to meet.
type meeting struct {
	near, far []*os.File // what each inherits
	names     []string   // what both are told
	// leave takes away, once the two have met, what nobody needs any more:
	// names in the file system, and the program's own hold of what the two
	// share. After it a process that is killed leaves nothing behind.
	leave func()
}

// assignment is what an end is told at its start.
type assignment struct {
	Mechanism string
	Near      bool // the end that starts each exchange
	Size      int
	RingSize  int
	Names     []string
	CPUs      []int
	File      int // the descriptor for a move
}

// mechanisms returns all there are, the slowest to the limit.
func mechanisms() []mechanism {
	return []mechanism{
		{
			name: "pipe-poller", about: "a pipe as Go programs use it: os.File, and the runtime's poller waits",
			meet: meetPipes(nonBlocking), join: joinFiles, roaming: true,
		},
		{
			name: "pipe", about: "a pipe: read(2) and write(2) block, on a thread of their own",
			meet: meetPipes(0), join: joinPipes,
		},
		{
			name: "packet", about: "a pipe in packet mode (O_DIRECT): each write is one read",
			unfit: longerThanPacket, meet: meetPipes(packetMode), join: joinPipes,
		},
		{
			name: "socket", about: "a Unix socket (stream), made by socketpair(2)",
			meet: meetSockets, join: joinSockets,
		},
		{
			name: "fifo", about: "a named pipe, by pkg/fifo: packets, and a wait that can be cancelled",
			unfit: longerThanPacket, meet: meetFIFOs, join: joinFIFOs,
		},
		{
			name: "mailbox", about: "one slot in shared memory, a FIFO as its gate, by pkg/mailbox",
			meet: meetMailboxes, join: joinMailboxes,
		},
		{
			name: "ring", about: "a ring in shared memory, by pkg/ring, that sleeps when it has to wait",
			meet: meetRings, join: joinRings(0),
		},
		{
			name: "ring-spin", about: "the same, looking without pause when it has to wait",
			unfit: needsTwoCPUs, meet: meetRings, join: joinRings(spinTime),
		},
		{
			name: "memcpy", about: "the limit: one process copies from one buffer to another",
			pair: copies,
		},
	}
}

func longerThanPacket(p plan) string {
	if p.size > pipe.Atomic {
		return fmt.Sprintf("a message is one packet, of at most %d bytes", pipe.Atomic)
	}
	return ""
}

func needsTwoCPUs(p plan) string {
	if p.oneCPU {
		return "both ends have one processor: the end that looks would keep the other from working"
	}
	return ""
}

// named returns the mechanisms of those names, in the order of all.
func named(all []mechanism, names []string) ([]mechanism, error) {
	for _, name := range names {
		if !slices.ContainsFunc(all, func(m mechanism) bool { return m.name == name }) {
			return nil, fmt.Errorf("%q: want any of %s", name, namesOf(all))
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(m mechanism) bool { return !slices.Contains(names, m.name) }), nil
}

func namesOf(all []mechanism) string {
	var names []string
	for _, m := range all {
		names = append(names, m.name)
	}
	return strings.Join(names, ", ")
}
