package explain

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"example.com/ipcsuite/internal/proc"
)

// Segment returns the row of a System V segment in /proc/sysvipc/shm, which is
// of the caller's IPC namespace, each value behind the name of its column.
func Segment(id int) string {
	what := fmt.Sprintf("segment %d in %s", id, proc.SysVShm)
	row, err := proc.SegmentRow(id)
	switch {
	case err != nil:
		return unseen(what, err)
	case row == nil:
		return what + ": no such row"
	}
	words := make([]string, len(row))
	for i, c := range row {
		words[i] = c.Name + " " + c.Value
		if key, err := strconv.ParseInt(c.Value, 10, 32); c.Name == "key" && err == nil && key != 0 {
			words[i] += fmt.Sprintf(" (%#08x)", uint32(key)) // as everybody else has it
		}
	}
	return proc.SysVShm + ": " + strings.Join(words, ", ")
}

// Place returns lines that say where an address of this process lies: its
// mapping in /proc/self/maps, and those of the heap and of the stack of the
// first thread, in the order of their addresses. The heap is Go's own, where a
// variable of this call is: a Go program does not use the one that brk(2)
// grows and maps calls [heap].
func Place(what string, address uintptr) []string {
	maps, err := ownMaps()
	if err != nil {
		return []string{unseen("where "+what+" is mapped", err)}
	}
	heap := onHeap()
	var lines []string
	for _, m := range maps {
		line := strings.TrimSpace(m.Line)
		switch {
		case m.Contains(address):
			lines = append(lines, what+": "+line)
		case m.Contains(heap):
			lines = append(lines, "heap: "+line)
		case m.Name == "[stack]":
			lines = append(lines, "stack: "+line)
		}
	}
	return lines
}

func ownMaps() ([]proc.Mapping, error) {
	self, err := proc.Self()
	if err != nil {
		return nil, err
	}
	return proc.Maps(self)
}

// onHeap returns an address on Go's heap.
func onHeap() uintptr {
	// reflect.ValueOf makes what it is given escape to the heap.
	return reflect.ValueOf(new(int)).Pointer()
}
