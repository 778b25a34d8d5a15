package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/pipe"
)

// The facts about what goes through a pipe, and in what pieces.

func byteStream(l *lab) (string, bool) {
	r, w := l.pipe(0)
	reader, writer := l.peer(r), l.peer(w)
	writer.do(write([]byte("hello")))
	writer.do(write([]byte("you")))
	both := reader.do(read(100))
	writer.do(write([]byte("hello!!!")))
	half, rest := reader.do(read(4)), reader.do(read(4))
	return fmt.Sprintf("2 writes, 1 read of %v; 1 write, 2 reads of %v and %v", both, half, rest),
		string(both.Data) == "helloyou" && string(half.Data) == "hell" && string(rest.Data) == "o!!!"
}

func packetMode(l *lab) (string, bool) {
	r, w := l.pipe(unix.O_DIRECT)
	reader, writer := l.peer(r), l.peer(w)
	writer.do(write([]byte("hello")))
	writer.do(write([]byte("you")))
	first, second := reader.do(read(100)), reader.do(read(100))

	l.nonblocking(w)
	capacity := l.capacity(w)
	pages, packets := capacity/os.Getpagesize(), 0
	for packets <= pages && writer.do(write([]byte("x"))).N == 1 {
		packets++
	}
	return fmt.Sprintf("2 writes, 2 reads of %v and %v; %d packets of 1 byte filled %d bytes", first, second, packets, capacity),
		string(first.Data) == "hello" && string(second.Data) == "you" && packets == pages && l.err == nil
}

func atomicWrites(l *lab) (string, bool) {
	small, ok1 := wholeWrites(l)
	large, ok2 := interleavedWrites(l)
	return small + "; " + large, ok1 && ok2
}

// wholeWrites lets writers contend for a pipe with writes of PIPE_BUF bytes.
func wholeWrites(l *lab) (string, bool) {
	const each = 64
	r, w := l.pipe(0)
	reader := l.peer(r)
	var writers []*peer
	for range 4 {
		writers = append(writers, l.peer(w))
	}
	if l.err == nil {
		_ = w.Close() // so that the writers' end is the reader's end of file
	}
	contending := 0
	for i, p := range writers {
		block := bytes.Repeat([]byte{'a' + byte(i)}, pipe.Atomic)
		p.begin(order{Do: doWrite, FD: givenFD, Data: block, N: each})
		if _, asleep := p.asleep("write"); asleep {
			contending++
		}
	}
	var all []byte
	for len(all) < len(writers)*each*pipe.Atomic && l.err == nil {
		a := reader.do(read(pipe.Atomic))
		if a.N <= 0 {
			break
		}
		all = append(all, a.Data...)
	}
	torn := 0
	for block := all; len(block) > 0; block = block[min(pipe.Atomic, len(block)):] {
		if bytes.Count(block[:min(pipe.Atomic, len(block))], block[:1]) != pipe.Atomic {
			torn++
		}
	}
	return fmt.Sprintf("%d writers were asleep at once; of their %d writes of 4096 bytes %d were torn", contending, len(all)/pipe.Atomic, torn),
		torn == 0 && len(all) == len(writers)*each*pipe.Atomic && contending == len(writers)
}

// interleavedWrites lets two writers sleep in the midst of one write each. The
// kernel wakes writers in the order in which they fell asleep (exclusive waits),
// and one that has to sleep again joins the end of the queue: they take turns.
// Both are asleep before each read, so that none can get in without a turn by
// being awake at the right moment.
func interleavedWrites(l *lab) (string, bool) {
	const size = 32768
	r, w := l.pipe(0)
	l.setCapacity(w, 1) // a page
	reader, a, b := l.peer(r), l.peer(w), l.peer(w)
	writers := map[byte]*peer{'a': a, 'b': b}
	for _, letter := range []byte("ab") {
		writers[letter].begin(write(bytes.Repeat([]byte{letter}, size)))
		writers[letter].asleep("write")
	}
	var all []byte
	for len(all) < 2*size && l.err == nil {
		n := reader.do(read(os.Getpagesize()))
		if n.N <= 0 {
			break
		}
		all = append(all, n.Data...)
		a.asleep("write")
		b.asleep("write")
	}
	count := map[byte]int{}
	for _, letter := range runs(all) {
		count[letter]++
	}
	return fmt.Sprintf("the two writes of %d bytes came out in %d and %d pieces", size, count['a'], count['b']),
		len(all) == 2*size && count['a'] > 1 && count['b'] > 1
}

// runs returns the first byte of each stretch of equal bytes.
func runs(data []byte) []byte {
	var first []byte
	for i, c := range data {
		if i == 0 || c != data[i-1] {
			first = append(first, c)
		}
	}
	return first
}

func capacities(l *lab) (string, bool) {
	var seen []string
	holds := true
	for _, ask := range []struct{ bytes, pages int }{{0, 0}, {20000, 8}, {1, 1}} {
		_, w := l.pipe(unix.O_NONBLOCK)
		asked := "default"
		if ask.bytes > 0 {
			l.setCapacity(w, ask.bytes)
			asked = fmt.Sprintf("%d asked for", ask.bytes)
		}
		capacity := l.capacity(w)
		accepted := l.peer(w).do(write(make([]byte, 1<<20)))
		seen = append(seen, fmt.Sprintf("%s: F_GETPIPE_SZ %d, %v went in", asked, capacity, accepted))
		holds = holds && accepted.N == capacity &&
			(ask.bytes == 0 || os.Getpagesize() != 4096 || capacity == ask.pages*4096)
	}
	return strings.Join(seen, "; "), holds
}

func oneWay(l *lab) (string, bool) {
	r, w := l.pipe(0)
	readEnd, writeEnd := givenFD, givenFD+1
	p := l.peer(r, w)
	wrote := p.do(order{Do: doWrite, FD: readEnd, Data: []byte("hello")})
	got := p.do(order{Do: doRead, FD: writeEnd, N: 100})
	inside := l.buffered(r)
	return fmt.Sprintf("write(2) to the read end: %v; read(2) from the write end: %v; %d bytes in the pipe", wrote, got, inside),
		wrote.Errno == unix.EBADF && got.Errno == unix.EBADF && inside == 0
}
