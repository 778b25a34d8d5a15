package proc

import (
	"os"
	"slices"
	"strconv"
	"strings"
)

// SysVShm is the kernel's table of System V segments, of the caller's IPC namespace
// (proc_sysvipc(5)). procfs does not know it.
const SysVShm = "/proc/sysvipc/shm"

// Column is a value in a table, as the kernel has written it.
type Column struct{ Name, Value string }

// SegmentRow returns the row of a segment in [SysVShm]; nil if there is none. For
// the numbers there is sysv.List.
func SegmentRow(id int) ([]Column, error) {
	text, err := os.ReadFile(SysVShm)
	if err != nil {
		return nil, err
	}
	return parseRow(string(text), id), nil
}

func parseRow(table string, id int) []Column {
	head, rows, _ := strings.Cut(table, "\n")
	names := strings.Fields(head)
	shmid := slices.Index(names, "shmid")
	for line := range strings.Lines(rows) {
		values := strings.Fields(line)
		if shmid < 0 || len(values) != len(names) || values[shmid] != strconv.Itoa(id) {
			continue
		}
		row := make([]Column, len(names))
		for i := range row {
			row[i] = Column{names[i], values[i]}
		}
		return row
	}
	return nil
}
