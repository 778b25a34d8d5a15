package explain

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Segment returns the row of a System V segment in /proc/sysvipc/shm, which is
// of the caller's IPC namespace, each value behind the name of its column.
func Segment(id int) string {
	const file = "/proc/sysvipc/shm"
	what := fmt.Sprintf("segment %d in %s", id, file)
	text, err := os.ReadFile(file)
	if err != nil {
		return unseen(what, err)
	}
	if row := rowOf(string(text), id); row != "" {
		return file + ": " + row
	}
	return what + ": no such row"
}

// rowOf finds the row of a segment in the text of /proc/sysvipc/shm, and puts
// the name of its column in front of each value; empty if there is none.
func rowOf(table string, id int) string {
	head, rows, _ := strings.Cut(table, "\n")
	names := strings.Fields(head)
	column := slices.Index(names, "shmid")
	for row := range strings.Lines(rows) {
		values := strings.Fields(row)
		if column < 0 || len(values) != len(names) || values[column] != strconv.Itoa(id) {
			continue
		}
		for i := range values {
			key, err := strconv.ParseInt(values[i], 10, 32)
			if names[i] == "key" && err == nil && key != 0 {
				values[i] += fmt.Sprintf(" (%#08x)", uint32(key)) // as everybody else has it
			}
			values[i] = names[i] + " " + values[i]
		}
		return strings.Join(values, ", ")
	}
	return ""
}

// Place returns lines that say where an address of this process lies: its
// mapping in /proc/self/maps, and those of the heap and of the stack of the
// first thread, in the order of their addresses. The heap is Go's own, where a
// variable of this call is: a Go program does not use the one that brk(2)
// grows and maps calls [heap].
func Place(what string, address uintptr) []string {
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return []string{unseen("where "+what+" is mapped", err)}
	}
	return places(string(text), what, address, onHeap())
}

// places picks from the text of a maps file the mappings of an address, of the
// heap and of the stack.
func places(maps, what string, address, heap uintptr) []string {
	var lines []string
	for line := range strings.Lines(maps) {
		line = strings.TrimSpace(line)
		var low, high uintptr
		if _, err := fmt.Sscanf(line, "%x-%x", &low, &high); err != nil {
			continue
		}
		within := func(a uintptr) bool { return low <= a && a < high }
		switch {
		case within(address):
			lines = append(lines, what+": "+line)
		case within(heap):
			lines = append(lines, "heap: "+line)
		case strings.HasSuffix(line, "[stack]"):
			lines = append(lines, "stack: "+line)
		}
	}
	return lines
}

// onHeap returns an address on Go's heap.
func onHeap() uintptr {
	// reflect.ValueOf makes what it is given escape to the heap.
	return reflect.ValueOf(new(int)).Pointer()
}
