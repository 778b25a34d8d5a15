package main

import (
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
)

const (
	// readers is how many pread(2) are under way at once. One processor copies a
	// GiB out of the page cache in 0.16 s; two together need 0.083 s for it.
	readers = 2
	// A piece of the file is a quarter of the ring, within these limits. In a
	// smaller ring there is nothing to be gained, and in a larger one, none by
	// larger pieces.
	largestPiece  = 1 << 20
	smallestPiece = 64 << 10
)

// ahead sends a file in pieces, which several goroutines read. The lock of the
// streamer's work guards it.
type ahead struct {
	s    *streamer
	file *os.File
	size int // of a piece

	end        int64   // where to stop in the file
	sent, next int64   // in the file: what was committed, what is being read
	pieces     []piece // between these two
	changed    *sync.Cond
	short      bool // a piece was not read to its end
	err        error
}

// piece is a part of the file, and where it is to be in the ring.
type piece struct {
	at    int64
	space []byte
	read  int // or -1 while it is being read
}

// readAhead sends what stdin holds, if that is a large file and there is another
// processor. It returns as soon as something is not as it was at first: what it has not
// sent is for read(2) to find, as it leaves the offset of stdin behind what it has
// committed. To others with the same open file description that is the only difference to
// read(2), which moves the offset as it reads.
func readAhead(s *streamer) error {
	stdin := s.env.Stdin
	info, err := stdin.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil //nolint:nilerr // read(2) says what is wrong
	}
	at, err := stdin.Seek(0, io.SeekCurrent)
	size := min(largestPiece, s.out.Capacity()/4)
	if err != nil || info.Size()-at < 4*int64(size) || size < smallestPiece || runtime.NumCPU() == 1 {
		return nil //nolint:nilerr // likewise
	}
	a := &ahead{
		s: s, file: stdin, size: size,
		end: info.Size(), sent: at, next: at, changed: sync.NewCond(&s.work),
	}
	var others sync.WaitGroup
	for range readers - 1 {
		others.Go(func() {
			s.work.Lock()
			defer s.work.Unlock()
			a.send()
		})
	}
	a.send()
	s.work.Unlock()
	others.Wait()
	s.work.Lock()
	return a.err
}

// send is the loop of each goroutine. The one that closes a gap commits, so none waits for
// another, unless that has fallen behind by all of the ring.
func (a *ahead) send() {
	for {
		space, at := a.take()
		if len(space) == 0 {
			return
		}
		a.s.work.Unlock()
		n, _ := a.file.ReadAt(space, at) // read(2) will meet the error
		a.s.work.Lock()
		a.commit(at, n)
	}
}

// take returns the piece that is to be read next, or nothing if there is none.
func (a *ahead) take() (space []byte, at int64) {
	for !a.short && a.err == nil && a.next < a.end {
		reserved := int(a.next - a.sent)
		if reserved > 0 && reserved >= a.s.out.Capacity()-a.s.out.Undelivered() {
			a.changed.Wait() // to wait for room would keep others from committing
			continue
		}
		if space, a.err = a.s.out.ReserveAfter(reserved); a.err != nil {
			break
		}
		space, at = space[:min(int64(len(space)), int64(a.size), a.end-a.next)], a.next
		a.pieces = append(a.pieces, piece{at, space, -1})
		a.next += int64(len(space))
		return space, at
	}
	return nil, 0
}

// commit notes that n bytes of a piece have been read, and commits what has come
// without a gap.
func (a *ahead) commit(at int64, n int) {
	i := slices.IndexFunc(a.pieces, func(p piece) bool { return p.at == at })
	a.pieces[i].read = n
	for !a.short && a.err == nil && len(a.pieces) > 0 && a.pieces[0].read >= 0 {
		p := a.pieces[0]
		a.pieces = slices.Delete(a.pieces, 0, 1)
		_, _ = a.s.passed.Write(p.space[:p.read]) // neither fails
		a.short = p.read < len(p.space)
		a.sent += int64(p.read)
		if _, a.err = a.file.Seek(a.sent, io.SeekStart); a.err == nil {
			a.err = a.s.out.Commit(p.read)
		}
	}
	a.changed.Broadcast()
}
