package explain

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What stands in /proc is in part the choice of other processes: names, paths,
// numbers. Each target below takes any text for a file there, starting from what
// this kernel really has.

func addFile(f *testing.F, path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
}

func FuzzFdinfo(f *testing.F) {
	addFile(f, "/proc/self/fdinfo/0")
	f.Add("")
	f.Add("flags:\n")
	f.Add("flags:\t-1\n")
	f.Add("flags:\t0777777777777777777777777\n")
	f.Fuzz(func(t *testing.T, text string) {
		flags, err := statusFlags(text)
		if err != nil {
			return
		}
		if flags < 0 {
			t.Errorf("flags %d in %q", flags, text)
		}
		again, err := statusFlags(fmt.Sprintf("pos:\t0\nflags:\t0%o\nmnt_id:\t15\n", flags))
		if again != flags || err != nil {
			t.Errorf("flags %#o are printed and parsed as %#o, %v", flags, again, err)
		}
	})
}

func FuzzStatus(f *testing.F) {
	addFile(f, "/proc/self/status")
	f.Add("")
	f.Add("Name:\tx\nState:\nSigIgn:\t0\nSigCgt:\tffffffffffffffff\n")
	f.Add("Name:\tState: S\nState:\tS (sleeping)\nSigIgn:\t1000\nSigCgt:\t1000\nvoluntary_ctxt_switches:\t7\n")
	f.Fuzz(func(t *testing.T, text string) {
		th := threadIn(text)
		if strings.ContainsAny(th.State, " \n") || strings.Contains(th.switches, "\n") {
			t.Errorf("%+v from %q", th, text)
		}
		for sig := unix.Signal(1); sig <= 64; sig++ {
			word, err := dispositionIn(text, sig)
			if err == nil && !slices.Contains([]string{"default", "ignored", "caught"}, word) {
				t.Errorf("signal %d: %q", sig, word)
			}
		}
	})
}

func FuzzSyscall(f *testing.F) {
	f.Add("running\n")
	f.Add("-1 0x7ffc 0x7f00\n")
	f.Add("0 0x3 0x7ffc 0x1000 0x0 0x0 0x0 0x7ffc 0x7f00\n")
	f.Add("1 0xffffffffffffffff 0x0")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		call := callIn(text)
		if strings.Contains(call, "\n") {
			t.Errorf("%q from %q", call, text)
		}
		if asleep := (Thread{State: "S", Call: call}); call != "" && asleep.AsleepIn("read", 3) != (call == "read(fd 3)") {
			t.Errorf("%q is taken for another call", call)
		}
	})
}

func FuzzMaps(f *testing.F) {
	f.Add("7f0000000000-7f0000001000 rw-s 00000000 00:01 17 /SYSV00000000 (deleted)\n", uint64(0x7f0000000000))
	f.Add("7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]\n", uint64(1))
	f.Add("2000-1000 r--p\nffffffffffffffff-0 [stack]\n-\nx-y\n", uint64(0x1800))
	f.Add("", uint64(0))
	f.Fuzz(func(t *testing.T, maps string, address uint64) {
		for _, line := range places(maps, "segment", uintptr(address), uintptr(address)+1) {
			name, mapping, _ := strings.Cut(line, ": ")
			if !slices.Contains([]string{"segment", "heap", "stack"}, name) || strings.Contains(mapping, "\n") || !strings.Contains(maps, mapping) {
				t.Errorf("%q from %q", line, maps)
			}
		}
		for _, s := range segments(maps) {
			if !strings.Contains(maps, s.place) || !strings.Contains(maps, "/SYSV") {
				t.Errorf("segment %d at %q from %q", s.id, s.place, maps)
			}
		}
	})
}

func FuzzSegmentRow(f *testing.F) {
	text, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text), 0)
	f.Add("key shmid\n0 7\n", 7)
	f.Add("key shmid\n0 7 8\n\n0\n", 7)
	f.Add("shmid", -1)
	f.Fuzz(func(t *testing.T, text string, id int) {
		if row := rowOf(text, id); row != "" && !strings.Contains(row, fmt.Sprintf("shmid %d", id)) {
			t.Errorf("row %q of segment %d from %q", row, id, text)
		}
	})
}
