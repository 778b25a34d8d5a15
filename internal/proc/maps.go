package proc

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Mapping is a range of a process's addresses, a line in /proc/PID/maps
// (proc_pid_maps(5)).
type Mapping struct {
	Start, End uintptr
	Inode      uint64
	Name       string // a path, or such as [stack]
	Line       string
}

// Maps returns the mappings of a process, in the order of their addresses: all, or
// an error. procfs is not used: it returns what came before a read that failed as if
// it were all, and it squeezes the blanks in names.
func Maps(pid int) ([]Mapping, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, err
	}
	return parseMaps(string(text)), nil
}

// parseMaps takes what has not the form of a mapping for none. A line feed in a
// name, which anybody may choose, is written as \012.
func parseMaps(text string) []Mapping {
	var all []Mapping
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		// "start-end perms offset device inode", and a name behind blanks.
		f := strings.SplitN(line, " ", 6)
		if len(f) < 5 {
			continue
		}
		low, high, _ := strings.Cut(f[0], "-")
		start, startErr := strconv.ParseUint(low, 16, strconv.IntSize)
		end, endErr := strconv.ParseUint(high, 16, strconv.IntSize)
		inode, inodeErr := strconv.ParseUint(f[4], 10, 64)
		if startErr != nil || endErr != nil || inodeErr != nil {
			continue
		}
		name := ""
		if len(f) == 6 {
			name = strings.TrimLeft(f[5], " ")
		}
		all = append(all, Mapping{uintptr(start), uintptr(end), inode, name, line})
	}
	return all
}

// Contains reports whether the address lies in the mapping.
func (m Mapping) Contains(address uintptr) bool { return m.Start <= address && address < m.End }

// Segment is where a process has a System V segment attached.
type Segment struct {
	ID int
	Mapping
}

// Segments returns where a process has System V segments attached: all, or an error.
func Segments(pid int) ([]Segment, error) {
	maps, err := Maps(pid)
	return segments(maps), err
}

// segments picks them by their name, /SYSV and the key. The inode is the segment's
// id (newseg in the kernel's ipc/shm.c).
func segments(maps []Mapping) []Segment {
	var all []Segment
	for _, m := range maps {
		if strings.HasPrefix(m.Name, "/SYSV") {
			all = append(all, Segment{int(m.Inode), m})
		}
	}
	return all
}
