package explain

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"example.com/ipcsuite/internal/proc"
)

// FuzzPlaces takes any mappings, which may be empty, overlap or end before they begin.
func FuzzPlaces(f *testing.F) {
	f.Add(uint64(0x7f0000000000), uint64(0x7f0000001000), "/SYSV00000000 (deleted)", uint64(0x7f0000000000))
	f.Add(uint64(0x7ffc00000000), uint64(0x7ffc00021000), "[stack]", uint64(1))
	f.Add(uint64(0x2000), uint64(0x1000), "[stack]", uint64(0x1800))
	f.Add(uint64(0), uint64(0), "", uint64(0))
	f.Fuzz(func(t *testing.T, start, end uint64, name string, address uint64) {
		name = strings.Map(func(r rune) rune { return max(r, ' ') }, name) // the kernel escapes line feeds
		maps := []proc.Mapping{
			{Start: uintptr(start), End: uintptr(end), Name: name, Line: fmt.Sprintf("%x-%x %s", start, end, name)},
			{Start: uintptr(end), End: uintptr(start), Name: "[heap]", Line: fmt.Sprintf("%x-%x [heap]", end, start)},
		}
		for _, line := range places(maps, "segment", uintptr(address), uintptr(address)+1) {
			what, mapping, _ := strings.Cut(line, ": ")
			whole := func(m proc.Mapping) bool { return mapping == strings.TrimSpace(m.Line) }
			if !slices.Contains([]string{"segment", "heap", "stack"}, what) || !slices.ContainsFunc(maps, whole) {
				t.Errorf("%q from %v", line, maps)
			}
		}
	})
}
