package explain

import (
	"fmt"
	"os"
	"slices"

	"example.com/ipcsuite/internal/proc"
)

// Shared returns lines that say which pipes, FIFOs and System V segments two
// processes both have: through what they can talk to each other. What this process
// has too, such as its standard error, is left out.
func Shared(a, b int) []string {
	what := fmt.Sprintf("what processes %d and %d have in common", a, b)
	pipes, err := proc.Pipes(a)
	if err != nil {
		return []string{unseen(what, err)}
	}
	mine, err := proc.Segments(a)
	if err != nil {
		return []string{unseen(what, err)}
	}
	theirs, err := proc.Segments(b)
	if err != nil {
		return []string{unseen(what, err)}
	}
	var lines []string
	for _, pipe := range pipes {
		ours, _ := pipe.Ends(os.Getpid()) // without /proc there are no pipes here
		if ends, err := pipe.Ends(b); err == nil && len(ends) > 0 && len(ours) == 0 {
			lines = append(lines, Holders(pipe, a, b)...)
		}
	}
	for _, s := range mine {
		i := slices.IndexFunc(theirs, func(t proc.Segment) bool { return t.ID == s.ID })
		if i >= 0 {
			lines = append(lines, fmt.Sprintf("segment %d is mapped at %s in process %d, and at %s in process %d", s.ID, span(s), a, span(theirs[i]), b))
		}
	}
	if len(lines) == 0 {
		return []string{fmt.Sprintf("processes %d and %d have no pipe, FIFO or segment in common", a, b)}
	}
	return lines
}

// span writes the addresses as /proc/PID/maps does.
func span(s proc.Segment) string { return fmt.Sprintf("%08x-%08x", s.Start, s.End) }
