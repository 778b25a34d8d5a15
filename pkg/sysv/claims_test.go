package sysv

import (
	"os"
	"regexp"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// What CLAIMS.md says of segments and no other test here shows. They go past the
// package where it does better than the kernel asks of it.

// Claim 25.
func TestOnlyAnExclusiveShmgetGuaranteesANewSegment(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	old := create(t, key, 8, 0o600)
	id, err := unix.SysvShmGet(int(key), 8, unix.IPC_CREAT|0o600)
	if err != nil || id != old.ID() {
		t.Errorf("IPC_CREAT alone: shmid %d, %v; want the segment %d that is there", id, err, old.ID())
	}
	if _, err := unix.SysvShmGet(int(key), 8, unix.IPC_CREAT|unix.IPC_EXCL|0o600); err != unix.EEXIST {
		t.Errorf("with IPC_EXCL: %v, want EEXIST", err)
	}
}

// Claim 26.
func TestPrivateSegmentsAreFoundByTheirIDAlone(t *testing.T) {
	t.Parallel()
	one, two := create(t, Private, 8, 0o600), create(t, Private, 8, 0o600)
	if one.ID() == two.ID() {
		t.Errorf("IPC_PRIVATE gave segment %d twice", one.ID())
	}
	if info := listed(t, one); info.Key != Private {
		t.Errorf("listed under key %v, want none", info.Key)
	}
	if id := openID(t, one.ID()).ID(); id != one.ID() {
		t.Errorf("by its id: segment %d, want %d", id, one.ID())
	}
}

// Claim 23: page tables are the part of the cost that a process can see of itself.
// The kernel makes one, a page long, when the first page of those that it maps is
// touched, whatever is touched after that.
func TestAttachingCostsPageTablesToo(t *testing.T) {
	page := os.Getpagesize()
	span, tables := page/8*page, 16 // bytes that one table maps, entries being of 8
	if span > 1<<26 {
		t.Skipf("NOT TESTED: with pages of %d bytes a table maps %d bytes, and some of those are too many", page, span)
	}
	s := attached(t, span*tables)
	before := pageTables(t)
	if err := s.Use(func(mem []byte) error {
		for at := 0; at < len(mem); at += span {
			mem[at] = 1
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	used, resident := pageTables(t)-before, listed(t, s).Resident
	if resident > int64(tables*page) {
		t.Skipf("NOT TESTED: %d bytes for %d pages: these are huge pages, which need no table of this kind", resident, tables)
	}
	if used < (tables-1)*page { // one may have been there, for a neighbour
		t.Errorf("%d bytes of page tables for %d pages that lie %d bytes apart (%d bytes resident), want %d or more",
			used, tables, span, resident, (tables-1)*page)
	}
}

// pageTables returns the bytes that the page tables of this process take.
func pageTables(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`VmPTE:\s*(\d+) kB`).FindSubmatch(status)
	if found == nil {
		t.Skip("NOT TESTED: /proc/self/status has no VmPTE")
	}
	kib, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// Claim 35.
func TestReadingTakesNothingOutAndAShorterTextLeavesATail(t *testing.T) {
	t.Parallel()
	s := attached(t, 8)
	for _, text := range []string{"hello\x00", "hi\x00"} {
		if _, err := s.WriteAt([]byte(text), 0); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		var got [8]byte
		if _, err := s.ReadAt(got[:], 0); err != nil || string(got[:]) != "hi\x00lo\x00\x00\x00" {
			t.Errorf("read %q, %v", got, err)
		}
	}
}

// Claim 27: no call asks for a page, the first touch does.
func TestThePageComesWithTheFirstTouch(t *testing.T) {
	runtime.LockOSThread() // whose faults are counted
	defer runtime.UnlockOSThread()
	const pages = 64
	page := os.Getpagesize()
	s := attached(t, pages*page)
	touch := func() (faults int64) {
		if err := s.Use(func(mem []byte) error {
			var before, after unix.Rusage
			if err := unix.Getrusage(unix.RUSAGE_THREAD, &before); err != nil {
				return err
			}
			for at := 0; at < len(mem); at += page {
				mem[at]++
			}
			err := unix.Getrusage(unix.RUSAGE_THREAD, &after)
			faults = int64(after.Minflt - before.Minflt)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return faults
	}
	first, second := touch(), touch()
	if first < 1 || second >= first {
		t.Errorf("%d page faults at first and %d then, want some, and fewer", first, second)
	}
	if resident := listed(t, s).Resident; resident < int64(page) {
		t.Errorf("%d bytes resident", resident)
	}
}
