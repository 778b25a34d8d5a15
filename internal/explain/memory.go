package explain

import (
	"fmt"
	"reflect"
	"strings"

	"example.com/ipcsuite/internal/proc"
)

// Segment returns the row of a System V segment in [proc.SysVShm].
func Segment(id int) string {
	what := fmt.Sprintf("segment %d in %s", id, proc.SysVShm)
	row, err := proc.SegmentRow(id)
	switch {
	case err != nil:
		return unseen(what, err)
	case row == nil:
		return what + ": no such row"
	}
	for i, column := range row {
		var key int32
		if n, _ := fmt.Sscanf(column, "key %d", &key); n == 1 && key != 0 {
			row[i] += fmt.Sprintf(" (%#08x)", uint32(key)) // as everybody else has it
		}
	}
	return proc.SysVShm + ": " + strings.Join(row, ", ")
}

// Place returns lines that say where an address of this process lies: its
// mapping in /proc/self/maps, and those of the heap and of the stack of the
// first thread, in the order of their addresses. The heap is Go's own, where a
// variable of this call is: a Go program does not use the one that brk(2)
// grows and maps calls [heap].
func Place(what string, address uintptr) []string {
	self, err := proc.Self()
	if err != nil {
		return []string{unseen("where "+what+" is mapped", err)}
	}
	maps, err := proc.Maps(self)
	if err != nil {
		return []string{unseen("where "+what+" is mapped", err)}
	}
	// reflect.ValueOf makes what it is given escape to the heap.
	return places(maps, what, address, reflect.ValueOf(new(int)).Pointer())
}

// places picks the mappings of an address, of the heap and of the stack.
func places(maps []proc.Mapping, what string, address, heap uintptr) []string {
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
