package main

import (
	"io"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ledger is a page of memory that the server and its readers share. In it each
// reader says how many messages it has taken from the FIFO and not yet printed,
// so that the server knows what is lost when one is killed. It is also the lock
// that keeps the output of one reader from running into that of another.
type ledger struct {
	file  *os.File
	slots []slot
}

// slot is one reader's, and one cache line, since each writes its own often.
type slot struct {
	held    atomic.Uint64 // messages taken and not yet printed, and a flag: see hold
	printed atomic.Uint64
	failure atomic.Uint64 // the errno with which printing failed
	busy    atomic.Bool   // takes messages as they come, does not sleep
	torn    atomic.Bool   // of the first slot: someone prints, or was killed at it
	_       [38]byte
}

// newLedger makes a ledger for n readers.
func newLedger(n int) (*ledger, error) {
	file, err := newShared("ledger", int64(n)*int64(unsafe.Sizeof(slot{})))
	if err != nil {
		return nil, err
	}
	return openLedger(file)
}

// openLedger maps the ledger that a reader has inherited.
func openLedger(file *os.File) (*ledger, error) {
	mem, err := mapShared(file)
	if err != nil {
		return nil, err
	}
	n := len(mem) / int(unsafe.Sizeof(slot{}))
	return &ledger{file: file, slots: unsafe.Slice((*slot)(unsafe.Pointer(&mem[0])), n)}, nil
}

// othersAtWork reports whether a reader other than that of slot i is busy, and has
// taken messages since seen, where it notes how many each has taken: one that is
// stopped, or waits for stdout, is busy and does nothing.
func (l *ledger) othersAtWork(i int, seen []uint64) bool {
	work := false
	for j := range min(len(l.slots), len(seen)) {
		s := &l.slots[j]
		held, _ := s.holds()
		if taken := held + s.printed.Load(); j != i && s.busy.Load() && taken != seen[j] {
			seen[j], work = taken, true
		}
	}
	return work
}

// startPrinting reports whether the one who printed last did not come to its end,
// and may have left half a line. The lock must be held.
func (l *ledger) startPrinting() (torn bool) { return l.slots[0].torn.Swap(true) }

func (l *ledger) endPrinting() { l.slots[0].torn.Store(false) }

// lock blocks until no other process has the lock. It is a record lock of
// fcntl(2): owned by the process, and gone with it if it is killed.
func (l *ledger) lock() { l.setLock(unix.F_WRLCK) }

func (l *ledger) unlock() { l.setLock(unix.F_UNLCK) }

func (l *ledger) setLock(kind int16) {
	whole := unix.Flock_t{Type: kind, Whence: io.SeekStart}
	for unix.FcntlFlock(l.file.Fd(), unix.F_SETLKW, &whole) == unix.EINTR {
	}
}

func (l *ledger) printed() (n uint64) {
	for i := range l.slots {
		n += l.slots[i].printed.Load()
	}
	return n
}
