package main

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestLedgerKeepsItsSize(t *testing.T) {
	l, err := newLedger(4)
	if err != nil {
		t.Fatal(err)
	}
	defer l.file.Close()
	if len(l.slots) != 4 {
		t.Errorf("%d slots, want 4", len(l.slots))
	}
	for _, size := range []int64{0, 1 << 20} {
		if err := l.file.Truncate(size); !errors.Is(err, unix.EPERM) {
			t.Errorf("truncate to %d bytes: %v, want %v", size, err, unix.EPERM)
		}
	}
}

// FuzzLedger takes any file for the ledger that a reader inherits.
func FuzzLedger(f *testing.F) {
	slotSize := int(unsafe.Sizeof(slot{}))
	f.Add([]byte{}, 0)
	f.Add(make([]byte, 3*slotSize), 1)
	f.Add(make([]byte, 3*slotSize+1), 3)
	f.Add([]byte{0xff}, -1)
	f.Add(bytes.Repeat([]byte{0xff}, slotSize), 0)
	f.Fuzz(func(t *testing.T, content []byte, index int) {
		fd, err := unix.MemfdCreate("ledger", unix.MFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		file := os.NewFile(uintptr(fd), "ledger")
		defer file.Close()
		if _, err := file.Write(content); err != nil {
			t.Fatal(err)
		}
		l, err := openLedger(file)
		if err != nil {
			if len(content) > 0 {
				t.Errorf("%d bytes: %v", len(content), err)
			}
			return
		}
		mem := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(l.slots))), len(content))
		defer func() {
			if err := unix.Munmap(mem); err != nil {
				t.Error(err)
			}
		}()
		if want := len(content) / slotSize; len(l.slots) != want {
			t.Fatalf("%d slots in %d bytes, want %d", len(l.slots), len(content), want)
		}
		_, _ = l.othersAtWork(index, make([]uint64, len(l.slots))), l.printed()
		if len(l.slots) > 0 {
			l.lock()
			l.startPrinting()
			l.endPrinting()
			l.unlock()
			if l.startPrinting() {
				t.Error("torn after the end")
			}
		}
	})
}

// Were it waited for, all messages would be late for as long as it is stopped.
func TestReaderThatIsStoppedAtWorkIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	l, err := newLedger(3)
	if err != nil {
		t.Fatal(err)
	}
	defer l.file.Close()
	seen := make([]uint64, 3)
	if l.othersAtWork(0, seen) {
		t.Error("nobody is busy")
	}
	l.slots[1].hold(2)
	l.slots[1].busy.Store(true)
	for _, want := range []bool{true, false, false} {
		if got := l.othersAtWork(0, seen); got != want {
			t.Errorf("at work: %v, want %v", got, want)
		}
	}
	l.slots[2].printed.Store(1)
	l.slots[2].busy.Store(true)
	if !l.othersAtWork(0, seen) || l.othersAtWork(0, seen) {
		t.Error("a third that takes messages: want it seen, once")
	}
	if l.slots[1].hold(3); !l.othersAtWork(0, seen) {
		t.Error("it has taken another message, and is not seen at work")
	}
	// It has printed its ten, and has taken five more.
	l.slots[1].hold(10)
	l.othersAtWork(0, seen)
	l.slots[1].printed.Store(10)
	if l.slots[1].hold(5); !l.othersAtWork(0, seen) {
		t.Error("it has printed all that it held and taken others, and is not seen at work")
	}
	// That it waits for another is no work.
	if l.slots[1].held.Store(5<<1 | 1); l.othersAtWork(0, seen) {
		t.Error("it expects a message, and is seen at work")
	}
}
