package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/explain"
	"example.com/ipcsuite/pkg/pipe"
)

// features are what kind of thing a pipe is, and how processes come to share it.
func features() []experiment {
	return []experiment{
		{
			name:     "byte-stream",
			did:      "A writer makes writes of 5 and 3 bytes, and a reader one read; then one write of 8 bytes, and two reads with room for 4",
			expected: "one read returns all 8 bytes; the other write comes out in two halves",
			why:      "a pipe is a stream of bytes and keeps no record of where one write ended and the next began",
			see:      byteStream,
		},
		{
			name:     "packet-mode",
			did:      "The same two writes of 5 and 3 bytes into a pipe made with O_DIRECT; then packets of 1 byte until no more go in",
			expected: "reads of 5 and of 3 bytes, although there is room for 100; as many packets as the pipe has pages, 16 in 65536 bytes",
			why:      "with O_DIRECT on the write end each write of up to 4096 bytes takes a page of its own, and a read returns one page's packet",
			see:      packetMode,
		},
		{
			name:     "atomic",
			did:      "Four writers, all asleep on a full pipe at once, make 64 writes of 4096 bytes (PIPE_BUF) each while a reader drains it; then, in a pipe of one page, two writers make one write of 32768 bytes each",
			expected: "every write of 4096 bytes comes out whole; each of the larger two comes out in pieces, with the other's between them",
			why:      "the kernel waits until a write of up to PIPE_BUF bytes fits and puts it in at one go; a larger one goes in page by page as room is made, and other writers get their turn in between",
			see:      atomicWrites,
		},
		{
			name:     "capacity",
			did:      "A writer fills a pipe of the default capacity, one of which 20000 bytes are asked for with fcntl(F_SETPIPE_SZ), and one of which 1 byte is, with a non-blocking write of 1048576 bytes",
			expected: "F_GETPIPE_SZ and the number of bytes that went in are equal: whole pages, a power of two of them, at least one",
			why:      "the capacity belongs to the pipe, not to a process; anyone who holds an end may set it up to /proc/sys/fs/pipe-max-size, and the kernel rounds up",
			see:      capacities,
		},
		{
			name:     "one-way",
			did:      "A process that holds both ends writes to the read end and reads from the write end",
			expected: "EBADF both times, and nothing in the pipe",
			why:      "on Linux one end is open for reading only and the other for writing only: for an answer one needs a second pipe",
			see:      oneWay,
		},
		{
			name:     "no-backing-file",
			did:      "A writer puts 5 bytes into a pipe, and fstat(2), fstatfs(2) and /proc are asked where they are",
			expected: "a FIFO on pipefs, which is mounted nowhere, of size 0 and 0 blocks, whose only name is pipe:[inode]",
			why:      "the bytes are in pages of the kernel's memory that belong to no file on any disk, and there is no path by which somebody could open them",
			see:      noBackingFile,
		},
		{
			name:     "lifetime",
			did:      "A writer puts 5 bytes into a pipe, closes and exits; a reader reads, and closes its end, the last",
			expected: "the pipe and its bytes outlive the writer; with the last descriptor closed it cannot be opened any more, not even through /proc/PID/fd",
			why:      "a pipe lives as long as any process holds a descriptor of it; a process that exits closes its own, so a pipe ends with its processes but not with any particular one",
			see:      lifetime,
		},
		{
			name:     "shared-description",
			did:      "A child inherits the read end, and this process opens the same pipe a second time through /proc/self/fd; O_NONBLOCK is then set on the inherited one",
			expected: "by kcmp(2) the child's descriptor is the very open file description of this process, so the flag shows in both; the second open has the same inode but is a description of its own, without the flag",
			why:      "inheriting copies the table of descriptors, whose entries go on pointing to the same struct file; every open(2) makes a new struct file, even of the same pipe",
			see:      sharedDescription,
		},
		{
			name:     "memory",
			did:      "A process and its child both map a page that holds the letter o: privately, that is copy-on-write, and shared; the one writes p to its private page and s to the shared one",
			expected: "its private page is the file's until the write and its own after it (bit 61 in /proc/self/pagemap goes from 1 to 0); the child still sees o there, and s in the shared page",
			why:      "memory that is copied on write is common only while nobody writes, so it carries no messages: processes need something that belongs to neither (what fork(2) does to all memory, MAP_PRIVATE does here to a page, as Go has no bare fork and execve(2) gives the child new memory)",
			see:      memory,
		},
	}
}

func read(n int) order { return order{Do: doRead, FD: givenFD, N: n} }

func write(data []byte) order { return order{Do: doWrite, FD: givenFD, Data: data} }

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

func noBackingFile(l *lab) (string, bool) {
	r, w := l.pipe(0)
	l.peer(w).do(write([]byte("hello")))
	inside := l.buffered(r)
	if l.err != nil {
		return "", false
	}
	o, err := explain.Of(int(r.Fd()))
	l.fail(err)
	var st unix.Stat_t
	l.fail(unix.Fstat(int(r.Fd()), &st))
	var fs unix.Statfs_t
	l.fail(unix.Fstatfs(int(r.Fd()), &fs))
	link := fmt.Sprintf("pipe:[%d]", st.Ino)
	if !strings.HasPrefix(o.String(), "pipe:") {
		l.cannotSee("the pipe's name", errors.New("/proc/self/fd cannot be read"))
		link = o.String()
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		l.cannotSee("what is mounted", err)
	}
	device := fmt.Sprintf("%d:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev))) // shorter on some architectures
	mounted := strings.Count(string(mounts), " "+device+" ")
	return fmt.Sprintf("%d bytes inside; %s; file system type %#x (PIPEFS_MAGIC is %#x), mounted in %d places", inside, o.Node(), fs.Type, unix.PIPEFS_MAGIC, mounted),
		inside == 5 && st.Mode&unix.S_IFMT == unix.S_IFIFO && st.Size == 0 && st.Blocks == 0 &&
			fs.Type == unix.PIPEFS_MAGIC && o.String() == link && mounted == 0
}

func lifetime(l *lab) (string, bool) {
	r, w := l.pipe(0)
	reader, writer := l.peer(r), l.peer(w)
	if l.err == nil {
		_, _ = r.Close(), w.Close()
	}
	writer.do(write([]byte("hello")))
	if l.err != nil {
		return "", false
	}
	status := writer.wait()
	name := fmt.Sprintf("/proc/%d/fd/%d", reader.pid, givenFD)
	orphaned := reopen(l, name)
	rest, end := reader.do(read(100)), reader.do(read(100))
	reader.do(order{Do: doClose, FD: givenFD})
	closed := reopen(l, name)
	return fmt.Sprintf("writer %d %s; opening the pipe by /proc/PID/fd of reader %d then: %v; its read(2) returned %v and then %v; opening the pipe after it had closed: %v",
			writer.pid, howItEnded(status), reader.pid, result(orphaned), rest, end, result(closed)),
		status.Exited() && string(rest.Data) == "hello" && end.N == 0 && end.Errno == 0 &&
			(orphaned == nil || errors.Is(orphaned, os.ErrPermission)) && closed != nil
}

// reopen opens a pipe by the name that a descriptor has in /proc, for a moment.
func reopen(l *lab, name string) error {
	// Without O_NONBLOCK, a reader's open would wait for a writer, as of a FIFO.
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrPermission) {
		l.cannotSee("whether the pipe can be opened", err)
	}
	if err == nil {
		_ = f.Close()
	}
	return err
}

// result is an error by the name that manuals give it.
func result(err error) string {
	var errno unix.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

func sharedDescription(l *lab) (string, bool) {
	r, _ := l.pipe(0)
	child := l.peer(r)
	if l.err != nil {
		return "", false
	}
	again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", r.Fd()), os.O_RDONLY, 0) // does not wait: the write end is open
	if err != nil {
		l.fail(explain.Reason(err))
		return "", false
	}
	defer again.Close()
	l.nonblocking(r)

	mine := explain.FD{PID: os.Getpid(), FD: int(r.Fd())}
	second := explain.FD{PID: os.Getpid(), FD: int(again.Fd())}
	inherited := explain.FD{PID: child.pid, FD: givenFD}
	inheritedIs, secondIs := l.kcmp(mine, inherited), l.kcmp(second, inherited)
	inode, secondInode := l.inode(r), l.inode(again)
	flag, secondFlag := l.nonblockFlag(inherited), l.nonblockFlag(second)
	return fmt.Sprintf("kcmp(2) of %v with %v: %s, with the second open: %s; inodes %d, %d; O_NONBLOCK by /proc/PID/fdinfo: %s in the child, %s in the second open",
			inherited, mine, inheritedIs, secondIs, inode, secondInode, flag, secondFlag),
		(inheritedIs == "equal" || inheritedIs == unknown) && (secondIs == "not equal" || secondIs == unknown) &&
			inode == secondInode && flag == "set" && secondFlag == "not set"
}

// kcmp compares the open file descriptions of two descriptors.
func (l *lab) kcmp(a, b explain.FD) string {
	same, err := explain.SameDescription(a, b)
	switch {
	case err != nil:
		l.cannotSee("whether descriptions are the same, other than by their flags", err)
		return unknown
	case same:
		return "equal"
	}
	return "not equal"
}

func (l *lab) inode(f *os.File) uint64 {
	var st unix.Stat_t
	l.fail(os.NewSyscallError("fstat", unix.Fstat(int(f.Fd()), &st)))
	return st.Ino
}

func (l *lab) nonblockFlag(d explain.FD) string {
	flags, err := explain.StatusFlags(d.PID, d.FD)
	switch {
	case err != nil:
		l.fail(explain.Reason(err))
		return unknown
	case flags&unix.O_NONBLOCK != 0:
		return "set"
	}
	return "not set"
}

func memory(l *lab) (string, bool) {
	page, err := unix.MemfdCreate("pipe-demo", unix.MFD_CLOEXEC)
	if err != nil {
		l.fail(os.NewSyscallError("memfd_create", err))
		return "", false
	}
	file := os.NewFile(uintptr(page), "memfd")
	l.files = append(l.files, file)
	size := os.Getpagesize()
	if _, err := file.Write(bytes.Repeat([]byte("o"), size)); err != nil {
		l.fail(err)
		return "", false
	}
	child := l.peer(file)
	childsPrivate := child.do(order{Do: doMapPrivate, FD: givenFD}).N
	childsShared := child.do(order{Do: doMapShared, FD: givenFD}).N
	private, shared := l.mapped(page, unix.MAP_PRIVATE), l.mapped(page, unix.MAP_SHARED)
	if l.err != nil {
		return "", false
	}
	defer func() { _, _ = unix.Munmap(private), unix.Munmap(shared) }()

	original := private[0] // the page must have been touched to be in the table
	fileBefore := l.isFilePage(private)
	private[0] = 'p'
	fileAfter := l.isFilePage(private)
	seenPrivate := child.do(order{Do: doPeek, N: childsPrivate})
	shared[0] = 's'
	seenShared := child.do(order{Do: doPeek, N: childsShared})
	return fmt.Sprintf("private page %c before and %c after the write, bit 61 %s and %s; the child sees %s in its private page and %s in the shared one",
			original, private[0], fileBefore, fileAfter, seenPrivate.Data, seenShared.Data),
		original == 'o' && private[0] == 'p' && string(seenPrivate.Data) == "o" && string(seenShared.Data) == "s" &&
			(fileBefore+fileAfter == "10" || fileBefore+fileAfter == unknown+unknown)
}

const unknown = "unknown"

func (l *lab) mapped(fd, flags int) []byte {
	m, err := unix.Mmap(fd, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, flags)
	l.fail(os.NewSyscallError("mmap", err))
	return m
}

// isFilePage returns bit 61 of the page's entry in /proc/self/pagemap, which says
// that the page is a file's or shared; a page that was copied on write is not.
func (l *lab) isFilePage(m []byte) string {
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		l.cannotSee("whose page it is", err)
		return unknown
	}
	defer f.Close()
	var entry [8]byte
	address := uintptr(unsafe.Pointer(&m[0]))
	if _, err := f.ReadAt(entry[:], int64(address)/int64(os.Getpagesize())*8); err != nil {
		l.cannotSee("whose page it is", err)
		return unknown
	}
	return fmt.Sprint(binary.NativeEndian.Uint64(entry[:]) >> 61 & 1)
}
