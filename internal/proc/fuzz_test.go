package proc

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What stands in /proc is in part the choice of other processes: names, paths,
// numbers. Each target below takes any text for a file there, starting from what
// this kernel really has.

func addFile(f *testing.F, path string, and ...any) {
	text, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append([]any{string(text)}, and...)...)
}

func FuzzFdinfo(f *testing.F) {
	addFile(f, "/proc/self/fdinfo/0")
	f.Add("")
	f.Add("flags:\n")
	f.Add("flags:\t-1\n")
	f.Add("flags:\t0777777777777777777777777\n")
	f.Add("inotify wd:3 ino:x\nflags:\t02\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseFlags(text)
		if err != nil {
			return
		}
		if got < 0 {
			t.Errorf("flags %d in %q", got, text)
		}
		again, err := parseFlags(fmt.Sprintf("pos:\t0\nflags:\t0%o\nmnt_id:\t15\n", got))
		if again != got || err != nil {
			t.Errorf("flags %#o are printed and parsed as %#o, %v", got, again, err)
		}
	})
}

func FuzzStatus(f *testing.F) {
	addFile(f, "/proc/self/status")
	f.Add("")
	f.Add("Name:\tx\nState:\nSigIgn:\t0\nSigCgt:\tffffffffffffffff\n")
	f.Add("Name:\tState: S\nState:\tS (sleeping)\nSigIgn:\t1000\nSigCgt:\t1000\nvoluntary_ctxt_switches:\t7\n")
	f.Fuzz(func(t *testing.T, text string) {
		state, switches := parseState(text)
		if strings.ContainsAny(state, " \n") || strings.Contains(switches, "\n") {
			t.Errorf("state %q, switches %q from %q", state, switches, text)
		}
		for sig := unix.Signal(1); sig <= 64; sig++ {
			word, err := parseDisposition(text, sig)
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
		call := parseCall(text)
		if strings.Contains(call, "\n") {
			t.Errorf("%q from %q", call, text)
		}
		if asleep := (Thread{State: "S", Call: call}); call != "" && asleep.AsleepIn("read", 3) != (call == "read(fd 3)") {
			t.Errorf("%q is taken for another call", call)
		}
	})
}

// A segment that is attached must be found in whatever else is there, or a live server
// would lose it.
func FuzzMaps(f *testing.F) {
	addFile(f, "/proc/self/maps", uint32(7))
	f.Add("", uint32(0))
	f.Add("7f00-7f01 rw-s 0 0:1 7 /SYSV00000000 (deleted)\n", uint32(7))
	f.Add("7f00-7f01 rw-s 0 0:1 7 /SYSV", uint32(8))
	f.Add("7f00-7f01 rw-p 0 0:1 7 /tmp/SYSV00000000\n", uint32(7))
	f.Add(strings.Repeat("x", 1<<17), uint32(7)) // longer than a Scanner takes: was "not attached"
	f.Add("7f0000000000-7f0000001000 rw-s 00000000 00:01 17 /SYSV00000000 (deleted)\n", uint32(17))
	f.Add("7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]\n", uint32(1))
	f.Add("2000-1000 r--p\nffffffffffffffff-0 [stack]\n-\nx-y\n", uint32(1))
	f.Fuzz(func(t *testing.T, text string, shmid uint32) {
		attached := func(text string) bool {
			return slices.ContainsFunc(segments(parseMaps(text)), func(s Segment) bool { return s.ID == int(shmid) })
		}
		if !attached(text + fmt.Sprintf("\n7f00-7f01 rw-s 0 00:01 %d    /SYSV32010b3c (deleted)\n", shmid)) {
			t.Errorf("segment %d is not found behind %q", shmid, text)
		}
		if attached(text) && !strings.Contains(text, fmt.Sprint(shmid)) {
			t.Errorf("segment %d is found in %q", shmid, text)
		}
		for _, m := range parseMaps(text) {
			if strings.Contains(m.Line, "\n") || !strings.Contains(text, m.Line) || !strings.HasSuffix(m.Line, m.Name) {
				t.Errorf("%+v from %q", m, text)
			}
			if m.Contains(m.Start) != (m.Start < m.End) || m.Contains(m.End) {
				t.Errorf("%+v does not contain its addresses", m)
			}
		}
		for _, s := range segments(parseMaps(text)) {
			if !strings.Contains(s.Line, "/SYSV") {
				t.Errorf("segment %d at %q from %q", s.ID, s.Line, text)
			}
		}
	})
}

func FuzzSegmentRow(f *testing.F) {
	addFile(f, SysVShm, 0)
	f.Add("key shmid\n0 7\n", 7)
	f.Add("key shmid\n0 7 8\n\n0\n", 7)
	f.Add("shmid", -1)
	f.Fuzz(func(t *testing.T, text string, id int) {
		row := parseRow(text, id)
		if row != nil && !slices.Contains(row, "shmid "+strconv.Itoa(id)) {
			t.Errorf("row %q of segment %d from %q", row, id, text)
		}
	})
}
