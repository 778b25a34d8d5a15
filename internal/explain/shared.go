package explain

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Shared returns lines that say which pipes, FIFOs and System V segments two
// processes both have: through what they can talk to each other. What this process
// has too, such as its standard error, is left out.
func Shared(a, b int) []string {
	what := fmt.Sprintf("what processes %d and %d have in common", a, b)
	pipes, err := pipesOf(a)
	if err != nil {
		return []string{unseen(what, err)}
	}
	mine, err := segmentsOf(a)
	if err != nil {
		return []string{unseen(what, err)}
	}
	theirs, err := segmentsOf(b)
	if err != nil {
		return []string{unseen(what, err)}
	}
	var lines []string
	for _, pipe := range pipes {
		ours, _ := pipe.Ends(os.Getpid()) // without /proc there are no pipes here
		if ends, err := pipe.Ends(b); err == nil && len(ends) > 0 && len(ours) == 0 {
			lines = append(lines, pipe.Holders(a, b)...)
		}
	}
	for _, s := range mine {
		i := slices.IndexFunc(theirs, func(t mapping) bool { return t.id == s.id })
		if i >= 0 {
			lines = append(lines, fmt.Sprintf("segment %d is mapped at %s in process %d, and at %s in process %d", s.id, s.place, a, theirs[i].place, b))
		}
	}
	if len(lines) == 0 {
		return []string{fmt.Sprintf("processes %d and %d have no pipe, FIFO or segment in common", a, b)}
	}
	return lines
}

// pipesOf returns the pipes and FIFOs that a process has open, each once.
func pipesOf(pid int) ([]Object, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var pipes []Object
	for _, entry := range entries {
		link := dir + "/" + entry.Name()
		var o Object
		if unix.Stat(link, &o.stat) != nil || o.stat.Mode&unix.S_IFMT != unix.S_IFIFO {
			continue // or closed meanwhile
		}
		if slices.ContainsFunc(pipes, func(p Object) bool { return p.stat.Dev == o.stat.Dev && p.stat.Ino == o.stat.Ino }) {
			continue
		}
		if o.name, err = os.Readlink(link); err == nil {
			pipes = append(pipes, o)
		}
	}
	return pipes, nil
}

// mapping is where a System V segment is mapped.
type mapping struct {
	id    int
	place string // the range of addresses
}

func segmentsOf(pid int) ([]mapping, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, err
	}
	return segments(string(text)), nil
}

// segments picks the System V segments from the text of a maps file, in which the
// inode of one is its id, and its name begins with SYSV (proc_pid_maps(5)).
func segments(maps string) []mapping {
	var all []mapping
	for line := range strings.Lines(maps) {
		fields := strings.Fields(line)
		if len(fields) < 6 || !strings.HasPrefix(fields[5], "/SYSV") {
			continue
		}
		if id, err := strconv.Atoi(fields[4]); err == nil {
			all = append(all, mapping{id, fields[0]})
		}
	}
	return all
}
