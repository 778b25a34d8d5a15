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

// SegmentRow returns the row of a segment in [SysVShm] as the kernel has written it,
// each value behind the name of its column, such as "shmid 7"; nil if there is none.
// For the numbers there is sysv.List.
func SegmentRow(id int) ([]string, error) {
	text, err := os.ReadFile(SysVShm)
	if err != nil {
		return nil, err
	}
	return parseRow(string(text), id), nil
}

func parseRow(table string, id int) []string {
	head, rows, _ := strings.Cut(table, "\n")
	names := strings.Fields(head)
	shmid := slices.Index(names, "shmid")
	for line := range strings.Lines(rows) {
		values := strings.Fields(line)
		if shmid < 0 || len(values) != len(names) || values[shmid] != strconv.Itoa(id) {
			continue
		}
		for i, name := range names {
			values[i] = name + " " + values[i]
		}
		return values
	}
	return nil
}
