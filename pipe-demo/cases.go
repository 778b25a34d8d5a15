package main

import (
	"bytes"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/finding"
)

// cases are the four things that can happen when one side of a pipe is
// slower than the other, or leaves.
func (t trial) cases() []finding.Experiment {
	return []finding.Experiment{
		{
			Name:     "1",
			Did:      "A reader asks an empty pipe for bytes, and a writer sends 5 once the reader is asleep",
			Expected: "the reader sleeps in read(2), and wakes with the 5 bytes",
			Why:      "read(2) on an empty pipe that somebody could still write to has nothing to return yet, so the kernel puts the thread to sleep, and the next write wakes it",
			See:      t.see(slowWriter),
		},
		{
			Name:     "2",
			Did:      "A writer hands 1048576 bytes to one write(2) while nobody reads, in a pipe of the default capacity and in one set to 16384 with F_SETPIPE_SZ; then a reader takes 4096 bytes, and then the rest",
			Expected: "as many bytes go in as fcntl(F_GETPIPE_SZ) says and the writer sleeps in write(2); 4096 more go in for the 4096 read; with the last the write returns",
			Why:      "a pipe is a ring of pages in the kernel, 16 unless told otherwise, and a writer that finds no page free sleeps until a reader has emptied one",
			See:      t.see(slowReader),
		},
		{
			Name:     "3",
			Did:      "A writer sends 5 bytes and closes its end, of which this process holds a second copy; a reader reads until the end",
			Expected: "the 5 bytes first; then the reader sleeps as long as the copy is open; then read(2) returns 0",
			Why:      "read(2) returns 0, end of file, when the pipe is empty and its last write end is closed, in whichever process that is: a forgotten copy keeps a reader waiting for good",
			See:      t.see(writerCloses),
		},
		{
			Name:     "4",
			Did:      "The reader closes the only read end, and three writers write: one leaves SIGPIPE at its default action, one catches it, one ignores it",
			Expected: "the first is killed by signal 13 (SIGPIPE); for the others the same write(2) fails with EPIPE",
			Why:      "a write that nobody can ever read raises SIGPIPE, whose default action is to end the process; whoever catches or ignores it lives, and sees write(2) fail (the Go runtime catches it, and obeys it only for descriptors 1 and 2)",
			See:      t.see(readerCloses),
		},
	}
}

var hello = []byte("hello")

func slowWriter(l *lab) (string, bool) {
	r, w := l.pipe(0)
	reader, writer := l.peer(r), l.peer(w)
	reader.begin(read(100))
	sleep, asleep := reader.asleep("read")
	writer.do(write(hello))
	got := reader.end()
	return fmt.Sprintf("in reader %d, %s; after the write its read(2) returned %v", reader.pid, sleep, got),
		asleep && bytes.Equal(got.Data, hello)
}

func slowReader(l *lab) (string, bool) {
	// 0 is the default.
	standard, ok1 := fill(l, 0)
	small, ok2 := fill(l, 16384)
	return standard + "; " + small, ok1 && ok2
}

// fill has a writer write more than the pipe can hold, and a reader take it.
func fill(l *lab, capacity int) (string, bool) {
	const all, step = 1 << 20, 4096
	r, w := l.pipe(0)
	if capacity > 0 {
		l.setCapacity(w, capacity)
	}
	capacity = l.capacity(w)
	reader, writer := l.peer(r), l.peer(w)

	writer.begin(write(make([]byte, all)))
	sleep, asleep := writer.asleep("write")
	accepted := l.buffered(r)

	total := reader.do(read(step)).N
	_, asleepAgain := writer.asleep("write")
	acceptedLater := l.buffered(r) + total
	for n := total; n > 0 && total < all && l.err == nil; total += n {
		n = reader.do(read(all)).N
	}
	written := writer.end()

	return fmt.Sprintf("capacity %d: %d bytes went in, in writer %d %s, %d more went in for %d read, and write(2) returned %v once all was read",
			capacity, accepted, writer.pid, sleep, acceptedLater-accepted, step, written),
		asleep && accepted == capacity && asleepAgain && acceptedLater == accepted+step && written.N == all && total == all
}

func writerCloses(l *lab) (string, bool) {
	r, w := l.pipe(0)
	reader, writer := l.peer(r), l.peer(w)
	writer.do(write(hello))
	writer.do(order{Do: doClose, FD: givenFD})
	rest := reader.do(read(100))

	reader.begin(read(100))
	sleep, asleep := reader.asleep("read")
	if l.err == nil {
		_ = w.Close()
	}
	end := reader.end()
	return fmt.Sprintf("read(2) returned %v; in reader %d, %s while the copy was open; closed, read(2) returned %v", rest, reader.pid, sleep, end),
		bytes.Equal(rest.Data, hello) && asleep && end.N == 0 && end.Errno == 0
}

func readerCloses(l *lab) (string, bool) {
	r, w := l.pipe(0)
	reader, killed, catching, ignoring := l.peer(r), l.peer(w), l.peer(w), l.peer(w)
	killed.do(order{Do: doDefaultSIGPIPE})
	ignoring.do(order{Do: doIgnoreSIGPIPE})
	if l.err == nil {
		_ = r.Close()
	}
	reader.do(order{Do: doClose, FD: givenFD})

	message := write(hello)
	dispositions := l.disposition(killed) + ", " + l.disposition(catching) + ", " + l.disposition(ignoring)
	killed.begin(message)
	if l.err != nil {
		return "", false
	}
	// Where it is not killed, the end of its orders ends it.
	status := killed.wait()
	caught, ignored := catching.do(message), ignoring.do(message)
	return fmt.Sprintf("SIGPIPE by /proc: %s; writer %d %s, write(2) of writer %d failed with %v, of writer %d with %v",
			dispositions, killed.pid, howItEnded(status), catching.pid, caught, ignoring.pid, ignored),
		dispositions == "default, caught, ignored" &&
			status.Signaled() && status.Signal() == unix.SIGPIPE && caught.Errno == unix.EPIPE && ignored.Errno == unix.EPIPE
}

// howItEnded reads a wait status, as wait(2) has it.
func howItEnded(status syscall.WaitStatus) string {
	if status.Signaled() {
		return fmt.Sprintf("was killed by signal %d (%s; wait status %#04x)", status.Signal(), unix.SignalName(status.Signal()), uint32(status))
	}
	return fmt.Sprintf("exited with code %d (wait status %#04x)", status.ExitStatus(), uint32(status))
}
