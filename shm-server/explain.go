package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/explain"
	"example.com/ipcsuite/pkg/sysv"
)

// evidence prints what the kernel shows of each step of the server, with --explain.
type evidence struct {
	*explain.Evidence

	met bool // a client
}

// madeKey is after ftok(3).
func (e *evidence) madeKey(parts sysv.KeyParts) { e.Print(parts.String()) }

// created is after shmget(2): a segment to which no address leads.
func (e *evidence) created(s *sysv.Segment) {
	e.Print(fmt.Sprintf("key %v was asked for and shmid %d given: by the key others find the segment, by the id all further calls name it", s.Key(), s.ID()))
	e.Segment(s)
}

// attached is after shmat(2): the same row, and now a place in memory too.
func (e *evidence) attached(s *sysv.Segment) {
	if e.Wanted() {
		e.Attached(s)
		e.Print(userSpace())
	}
}

// full is when there is a first text in the slot: its client has the segment attached.
func (e *evidence) full(s *sysv.Segment) {
	if !e.met {
		e.met = true
		e.Segment(s)
	}
}

// left is when no more is read. What was written last is there all the same, and
// behind its NUL what a longer text before it has left.
func (e *evidence) left(s *sysv.Segment) {
	if !e.Wanted() {
		return
	}
	_ = s.Use(func(mem []byte) error { // it is attached
		first := bytes.TrimRight(bytes.Clone(mem[:min(len(mem), 24)]), "\x00")
		e.Print(fmt.Sprintf("segment %d still begins with %q: reading takes nothing out", s.ID(), first))
		return nil
	})
}

// userSpace finds the end of what a process can map, by trying: pages below
// ever higher powers of two, until the kernel says that there is no such address.
func userSpace() string {
	const noReplace = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_FIXED_NOREPLACE
	page := uintptr(os.Getpagesize())
	bits := 0
	for b := 31; b < 64 && b < 8*int(unsafe.Sizeof(page)); b++ {
		// The last page may be kept free, as it is on x86-64.
		want := uintptr(1)<<b - 2*page
		got, err := unix.MmapPtr(-1, 0, unsafe.Add(nil, want), page, unix.PROT_NONE, noReplace)
		if err == nil {
			_ = unix.MunmapPtr(got, page) // it was just mapped
		}
		if err == nil && uintptr(got) == want || errors.Is(err, unix.EEXIST) {
			bits = b
		}
	}
	if bits == 0 {
		return "user address space: its size cannot be seen: mmap(2) takes no address"
	}
	units := [...]string{"", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	return fmt.Sprintf("user address space: %d %s: mmap(2) takes pages up to %#x and none near the next power of two",
		1<<(bits%10), units[bits/10], uintptr(1)<<bits)
}
