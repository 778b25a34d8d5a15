package fifo

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// pieces is what is in a pipe, as pipe(7) has it: a read takes pieces up to the
// end of the first packet.
type pieces []struct {
	text   []byte
	packet bool
}

// write adds what one write(2) leaves: a piece of its own, unless there is room
// in the page that a stream writer has begun. A packet put there is one no more.
func (p *pieces) write(text []byte, packet bool) {
	page := os.Getpagesize()
	if i := len(*p) - 1; i >= 0 && !(*p)[i].packet && len(text) < page && len((*p)[i].text)+len(text) <= page {
		(*p)[i].text = append((*p)[i].text, text...)
		return
	}
	*p = append(*p, pieces{{text, packet}}...)
}

// read takes what one read(2) with a large buffer returns.
func (p *pieces) read() (text []byte) {
	for len(*p) > 0 {
		first := (*p)[0]
		*p = (*p)[1:]
		text = append(text, first.text...)
		if first.packet {
			break
		}
	}
	return text
}

// messages is what the reads that remain return.
func (p pieces) messages() (list [][]byte) {
	for len(p) > 0 {
		list = append(list, p.read())
	}
	return list
}

// FuzzHostileWriters lets several writers do what they like to a FIFO: packets,
// a stream, the mark of StopReaders real or forged, whole or cut. What all
// readers of it return, and what Pending says, is compared with the pipe as the
// manual describes it. Each pair of bytes in script is a step and its size.
func FuzzHostileWriters(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 5, 0, 4, 0, 4, 0, 4, 0})             // messages
	f.Add([]byte{1, 9, 1, 9, 0, 3, 5, 0, 4, 0})                   // a stream, then a packet
	f.Add([]byte{1, 9, 0, 9, 0, 9, 5, 0, 4, 0})                   // a stream, then two packets
	f.Add([]byte{0, 1, 2, 0, 0, 1, 4, 0, 4, 0, 4, 0, 6, 0, 6, 0}) // stopped between messages
	f.Add([]byte{1, 7, 2, 0, 4, 0, 4, 0})                         // stopped behind a stream
	f.Add([]byte{3, 255, 3, 255, 4, 0, 2, 0, 6, 0})               // forged, as a stream
	f.Add([]byte{3, 0, 3, 15, 0, 255, 4, 0, 5, 0, 6, 0})          // forged, and cut
	path := filepath.Join(f.TempDir(), "fifo")
	fifo, err := Create(context.Background(), path, Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(fifo.Close)
	if err := fifo.KeepOpen(); err != nil {
		f.Fatal(err)
	}
	open := func(flags int) int {
		fd, err := fifo.reopen(unix.O_WRONLY)
		if err != nil {
			f.Fatal(err)
		}
		f.Cleanup(func() { closeFD(fd) })
		// O_DIRECT can be had only afterwards (fcntl(2)).
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_NONBLOCK|flags); err != nil {
			f.Fatal(err)
		}
		return fd
	}
	packets, stream := open(unix.O_DIRECT), open(0)
	shared, word, err := fifo.Shared()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { shared.Close() })
	r, err := NewSharedReader(int(shared.Fd()), word)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { closeFD(r.own) })
	buf := make([]byte, len(r.buf))
	isMark := func(text []byte) bool {
		return len(text) >= Atomic && bytes.HasPrefix(text[len(text)-Atomic:], fifo.mark[:])
	}

	f.Fuzz(func(t *testing.T, script []byte) {
		for { // what the script before has left
			if _, err := unix.Read(fifo.hold, buf); err != nil {
				break
			}
		}
		r.stopped = false
		var pipe pieces
		put := func(fd int, text []byte, packet bool) {
			_, err := unix.Write(fd, text)
			switch {
			case errors.Is(err, unix.EAGAIN): // full
			case err != nil:
				t.Fatal(err)
			default:
				pipe.write(text, packet)
			}
		}
		for step := byte(0); len(script) > 1; step++ {
			do, size := script[0]%7, 1+int(script[1])*16
			script = script[2:]
			text := bytes.Repeat([]byte{step}, min(size, Atomic))
			marked := make([]byte, Atomic)
			copy(marked, fifo.mark[:])
			switch do {
			case 0:
				put(packets, text, true)
			case 1:
				put(stream, text, false)
			case 2:
				put(packets, marked, true)
			case 3:
				put(stream, marked[:min(size+15, Atomic)], false)
			case 4:
				var want []byte
				var wantErr error
				switch {
				case r.stopped:
					wantErr = ErrStopped
				case len(pipe) == 0:
					wantErr = unix.EAGAIN
				default:
					if want = pipe.read(); isMark(want) {
						want = want[:len(want)-Atomic]
						if len(want) == 0 {
							wantErr = ErrStopped
						}
					}
				}
				got, err := r.TryNext()
				if !errors.Is(err, wantErr) || !bytes.Equal(got, want) {
					t.Fatalf("TryNext: %d bytes, %v, want %d, %v", len(got), err, len(want), wantErr)
				}
			case 5:
				count := 0
				for _, m := range pipe.messages() {
					if !isMark(m) || len(m) > Atomic {
						count++
					}
				}
				if n, err := fifo.Pending(); n != count || err != nil {
					t.Fatalf("%d pending, %v, want %d", n, err, count)
				}
			case 6:
				want, wantErr := []byte(nil), error(unix.EAGAIN)
				for wantErr != nil && len(pipe) > 0 {
					if want = pipe.read(); isMark(want) {
						want = want[:len(want)-Atomic]
					}
					if len(want) > 0 {
						wantErr = nil
					}
				}
				n, err := fifo.TryRead(buf)
				if !errors.Is(err, wantErr) || n != len(want) || !bytes.Equal(buf[:n], want) {
					t.Fatalf("TryRead: %d bytes, %v, want %d, %v", n, err, len(want), wantErr)
				}
			}
		}
	})
}

// FuzzPresence makes FIFOs of any inode numbers: a folder's record of one is
// found, and not taken for that of another.
func FuzzPresence(f *testing.F) {
	f.Add(uint64(0), uint64(1))
	f.Add(uint64(1<<62), uint64(1<<63))
	f.Add(^uint64(0), ^uint64(0)>>2)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, a, b uint64) {
		open := func() int {
			fd, err := openFolder(dir)
			if err != nil {
				t.Fatal(err)
			}
			return fd
		}
		server, client := open(), open()
		defer closeFD(client)
		if err := setPresence(server, identity{ino: a}); err != nil {
			t.Fatal(err)
		}
		const counted = 1<<62 - 1 // the bits of an inode number that count
		for ino, want := range map[uint64]bool{a: true, b: a&counted == b&counted} {
			if got, err := hasPresence(client, identity{ino: ino}); got != want || err != nil {
				t.Errorf("with a server at %#x, at %#x: %v, %v, want %v", a, ino, got, err, want)
			}
		}
		closeFD(server)
		if got, err := hasPresence(client, identity{ino: a}); got || err != nil {
			t.Errorf("of a dead server at %#x: %v, %v", a, got, err)
		}
	})
}

// FuzzWord takes any word and any descriptor for what a child has inherited.
func FuzzWord(f *testing.F) {
	f.Add("")
	f.Add("00112233445566778899aabbccddeeff")
	f.Add("00112233445566778899AABBCCDDEEFF00")
	f.Add("0x112233445566778899aabbccddeeff")
	null, err := os.Open(os.DevNull)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, word string) {
		// The word is looked at first. A descriptor of no pipe is refused too.
		if r, err := NewSharedReader(int(null.Fd()), word); err == nil || r != nil {
			t.Errorf("%q makes a reader of /dev/null: %v", word, err)
		}
	})
}
