package main

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
)

// FuzzMaps takes anything for the maps file of another process. A segment that
// is attached must be found, or a live server would lose it.
func FuzzMaps(f *testing.F) {
	own, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(own), 7)
	f.Add("", 0)
	f.Add("7f00-7f01 rw-s 0 0:1 7 /SYSV00000000 (deleted)\n", 7)
	f.Add("7f00-7f01 rw-s 0 0:1 7 /SYSV", 8)
	f.Add("7f00-7f01 rw-p 0 0:1 7 /tmp/SYSV00000000\n", 7)
	f.Add(strings.Repeat("x", 1<<17), 7) // longer than a Scanner takes: was "not attached"
	f.Fuzz(func(t *testing.T, maps string, shmid int) {
		if !mapped(strings.NewReader(maps+fmt.Sprintf("\n7f00-7f01 rw-s 0 00:01 %d    /SYSV32010b3c (deleted)\n", shmid)), shmid) {
			t.Errorf("segment %d is not found behind %q", shmid, maps)
		}
		if mapped(strings.NewReader(maps), shmid) && len(maps) < 1<<16 && !strings.Contains(maps, fmt.Sprint(shmid)) {
			t.Errorf("segment %d is found in %q", shmid, maps)
		}
	})
}

// FuzzTally sends numbers as no client does. Each message is counted once.
func FuzzTally(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint64(4), uint64(2))
	f.Add(uint64(math.MaxUint64), uint64(1), uint64(math.MaxUint64), uint64(0))
	f.Add(uint64(0), uint64(0), uint64(1), uint64(1))
	f.Fuzz(func(t *testing.T, a, b, c, d uint64) {
		var sum tally
		for i, n := range []uint64{a, b, c, d} {
			before := sum
			if sum.message(fmt.Appendf(nil, "#%d x #%d", n, n)) {
				t.Fatalf("number %d is torn", n)
			}
			if sum.whole != uint64(i+1) || sum.torn != 0 {
				t.Errorf("after number %d: %+v", n, sum)
			}
			if sum.lost < before.lost || sum.repeated < before.repeated {
				t.Errorf("a count goes down at number %d: %+v, then %+v", n, before, sum)
			}
		}
	})
}
