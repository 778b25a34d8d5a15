package suitetest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/pkg/sysv"
)

// Dir returns a folder for a server and its clients, of whose key there is no segment;
// nor is there one when the test has ended. A killed server leaves its own, and the
// inode of a folder that is gone, and with it the key, is soon another test's.
func Dir(t testing.TB) string {
	t.Helper()
	for {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		segments, err := Segments(dir, contract.ProjID)
		if err != nil {
			t.Fatal(err)
		}
		if len(segments) == 0 {
			t.Cleanup(func() { removeLeft(t, dir) })
			return dir
		}
	}
}

// removeLeft removes the segment of a dead server, if there is one.
func removeLeft(t testing.TB, dir string) {
	segments, err := Segments(dir, contract.ProjID)
	for _, s := range segments {
		var segment *sysv.Segment
		// Of another folder the key can be the same, by chance: let a live server be.
		if s.Attached > 0 || unix.Kill(s.CreatorPID, 0) == nil {
			continue
		}
		if segment, err = sysv.OpenID(s.ID); err == nil {
			err = segment.Remove()
		}
	}
	if err != nil {
		t.Error(err)
	}
}

// Clean checks that servers and clients that have met in dir have left nothing there,
// and no process.
func Clean(t testing.TB, dir string, processes ...*Process) {
	t.Helper()
	for _, fault := range Leftovers(dir, contract.ProjID) {
		t.Error(fault)
	}
	for _, p := range processes {
		for _, pid := range Marked(p.mark) {
			t.Errorf("left by %v: %s", p.Cmd.Args, describe(pid))
		}
	}
}

// Leftovers says what programs have left in dir, a line for each: files, segments and
// locks.
func Leftovers(dir string, projID int) (faults []string) {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		faults = append(faults, fmt.Sprintf("left in %s: %v (%v)", dir, entries, err))
	}
	segments, err := Segments(dir, projID)
	if err != nil {
		faults = append(faults, err.Error())
	}
	for _, s := range segments {
		faults = append(faults, fmt.Sprint("left: segment ", s))
	}
	return append(faults, locksOn(dir)...)
}

// describe tells a process by its arguments.
func describe(pid int) string {
	cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return fmt.Sprintf("process %d, %q", pid, cmdline)
}

// LeftRunning says which processes with the mark there still are.
func LeftRunning(mark string) (faults []string) {
	for _, pid := range Marked(mark) {
		faults = append(faults, "left: "+describe(pid))
	}
	return faults
}

// Segments returns the segments that have the key of a folder.
func Segments(dir string, projID int) (found []sysv.Info, err error) {
	key, err := sysv.Ftok(dir, projID)
	if err != nil {
		return nil, err
	}
	list, err := sysv.List()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list, func(s sysv.Info) bool { return s.Key != key }), nil
}

// locksOn says who has dir locked, as far as /proc/locks shows it.
func locksOn(dir string) (faults []string) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return []string{err.Error()}
	}
	file := fmt.Sprintf(" %02x:%02x:%d ", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return []string{err.Error()}
	}
	for lock := range strings.Lines(string(locks)) {
		if strings.Contains(lock, file) {
			faults = append(faults, "left: lock "+lock)
		}
	}
	return faults
}
