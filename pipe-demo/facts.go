package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/explain"
	"example.com/ipcsuite/internal/finding"
	"example.com/ipcsuite/internal/proc"
	"example.com/ipcsuite/pkg/pipe"
)

// features are what kind of thing a pipe is, and how processes come to share it.
func (t trial) features() []finding.Experiment {
	return []finding.Experiment{
		{
			Name:     "byte-stream",
			Did:      "A writer makes writes of 5 and 3 bytes, and a reader one read; then one write of 8 bytes, and two reads with room for 4",
			Expected: "one read returns all 8 bytes; the other write comes out in two halves",
			Why:      "a pipe is a stream of bytes and keeps no record of where one write ended and the next began",
			See:      t.see(byteStream),
		},
		{
			Name:     "packet-mode",
			Did:      "The same two writes of 5 and 3 bytes into a pipe made with O_DIRECT; then packets of 1 byte until no more go in",
			Expected: "reads of 5 and of 3 bytes, although there is room for 100; as many packets as the pipe has pages, 16 in 65536 bytes",
			Why:      "with O_DIRECT on the write end each write of up to 4096 bytes takes a page of its own, and a read returns one page's packet",
			See:      t.see(packetMode),
		},
		{
			Name:     "atomic",
			Did:      "Four writers, all asleep on a full pipe at once, make 64 writes of 4096 bytes (PIPE_BUF) each while a reader drains it; then, in a pipe of one page, two writers make one write of 32768 bytes each",
			Expected: "every write of 4096 bytes comes out whole; each of the larger two comes out in pieces, with the other's between them",
			Why:      "the kernel waits until a write of up to PIPE_BUF bytes fits and puts it in at one go; a larger one goes in page by page as room is made, and other writers get their turn in between",
			See:      t.see(atomicWrites),
		},
		{
			Name:     "capacity",
			Did:      "A writer fills a pipe of the default capacity, one of which 20000 bytes are asked for with fcntl(F_SETPIPE_SZ), and one of which 1 byte is, with a non-blocking write of 1048576 bytes",
			Expected: "F_GETPIPE_SZ and the number of bytes that went in are equal: whole pages, a power of two of them, at least one",
			Why:      "the capacity belongs to the pipe, not to a process; anyone who holds an end may set it up to /proc/sys/fs/pipe-max-size, and the kernel rounds up",
			See:      t.see(capacities),
		},
		{
			Name:     "one-way",
			Did:      "A process that holds both ends writes to the read end and reads from the write end",
			Expected: "EBADF both times, and nothing in the pipe",
			Why:      "on Linux one end is open for reading only and the other for writing only: for an answer one needs a second pipe",
			See:      t.see(oneWay),
		},
		{
			Name:     "no-backing-file",
			Did:      "A writer puts 5 bytes into a pipe, and fstat(2), fstatfs(2) and /proc are asked where they are",
			Expected: "a FIFO on pipefs, which is mounted nowhere, of size 0 and 0 blocks, whose only name is pipe:[inode]",
			Why:      "the bytes are in pages of the kernel's memory that belong to no file on any disk, and there is no path by which somebody could open them",
			See:      t.see(noBackingFile),
		},
		{
			Name:     "lifetime",
			Did:      "A writer puts 5 bytes into a pipe, closes and exits; a reader reads, and closes its end, the last",
			Expected: "the pipe and its bytes outlive the writer; with the last descriptor closed it cannot be opened any more, not even through /proc/PID/fd",
			Why:      "a pipe lives as long as any process holds a descriptor of it; a process that exits closes its own, so a pipe ends with its processes but not with any particular one",
			See:      t.see(lifetime),
		},
		{
			Name:     "shared-description",
			Did:      "A child inherits the read end, and this process opens the same pipe a second time through /proc/self/fd; O_NONBLOCK is then set on the inherited one",
			Expected: "by kcmp(2) the child's descriptor is the very open file description of this process, so the flag shows in both; the second open has the same inode but is a description of its own, without the flag",
			Why:      "inheriting copies the table of descriptors, whose entries go on pointing to the same struct file; every open(2) makes a new struct file, even of the same pipe",
			See:      t.see(sharedDescription),
		},
		{
			Name:     "memory",
			Did:      "A process and its child both map a page that holds the letter o: privately, that is copy-on-write, and shared; the one writes p to its private page and s to the shared one",
			Expected: "its private page is the file's until the write and its own after it (bit 61 in /proc/self/pagemap goes from 1 to 0); the child still sees o there, and s in the shared page",
			Why:      "memory that is copied on write is common only while nobody writes, so it carries no messages: processes need something that belongs to neither (what fork(2) does to all memory, MAP_PRIVATE does here to a page, as Go has no bare fork and execve(2) gives the child new memory)",
			See:      t.see(memory),
		},
		{
			Name:     "passing",
			Did:      "One process is sent the write end of a pipe through a Unix socket (SCM_RIGHTS), and another opens it through /proc/PID/fd of this process; neither has inherited anything of it; each writes 5 bytes",
			Expected: "both have no descriptor of the pipe at first, and one then; by kcmp(2) the one that was sent is the open file description of this process, and the other a new one; a reader gets 10 bytes",
			Why:      "to be related is only the usual way to get hold of a descriptor: any process may be given one, and whoever may look into a process may open what it has open",
			See:      t.see(passing),
		},
		{
			Name:     "exec",
			Did:      "A process that holds the read end of a pipe with 5 bytes in it, and a page of memory in which it has put a letter, calls execve(2) with the program that it runs already",
			Expected: "the process and the descriptor stay, and it reads the 5 bytes; the page is in /proc/PID/maps before, and not after",
			Why:      "execve(2) throws away the whole address space, code and data, and maps a program into an empty one, so there is nothing left that could be copied on write; what the kernel keeps for a process stays, such as its id and the descriptors that are not close-on-exec",
			See:      t.see(execution),
		},
		{
			Name:     "go-sigpipe",
			Did:      "A Go program without a handler of its own for SIGPIPE writes to a pipe whose reader has gone, through descriptor 3, and then through descriptor 2, its standard error",
			Expected: "EPIPE, and then death by signal 13 (SIGPIPE)",
			Why:      "the Go runtime catches SIGPIPE, and lets write(2) fail; only for descriptors 1 and 2, so that Go programs end in shell pipelines as others do, it then kills itself with the signal",
			See:      t.see(goSIGPIPE),
		},
	}
}

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
	o, err := proc.ObjectOf(int(r.Fd()))
	l.fail(err)
	var st unix.Stat_t
	l.fail(unix.Fstat(int(r.Fd()), &st))
	var fs unix.Statfs_t
	l.fail(unix.Fstatfs(int(r.Fd()), &fs))
	link := fmt.Sprintf("pipe:[%d]", st.Ino)
	if strings.HasPrefix(o.String(), "inode ") {
		l.cannotSee("the pipe's name", errors.New("/proc/self/fd cannot be read"))
		link = o.String()
	}
	mounts, err := o.Mounts()
	if err != nil {
		l.cannotSee("what is mounted", err)
	}
	return fmt.Sprintf("%d bytes inside; %s; file system type %#x (PIPEFS_MAGIC is %#x), mounted in %d places", inside, explain.Node(o), fs.Type, unix.PIPEFS_MAGIC, len(mounts)),
		inside == 5 && st.Mode&unix.S_IFMT == unix.S_IFIFO && st.Size == 0 && st.Blocks == 0 &&
			fs.Type == unix.PIPEFS_MAGIC && o.String() == link && len(mounts) == 0
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
	orphaned := l.reopen(name)
	rest, end := reader.do(read(100)), reader.do(read(100))
	reader.do(order{Do: doClose, FD: givenFD})
	closed := l.reopen(name)
	return fmt.Sprintf("writer %d %s; opening the pipe by /proc/PID/fd of reader %d then: %v; its read(2) returned %v and then %v; opening the pipe after it had closed: %v",
			writer.pid, howItEnded(status), reader.pid, result(orphaned), rest, end, result(closed)),
		status.Exited() && string(rest.Data) == "hello" && end.N == 0 && end.Errno == 0 &&
			(orphaned == nil || errors.Is(orphaned, os.ErrPermission)) && closed != nil
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

	mine := proc.FD{PID: os.Getpid(), FD: int(r.Fd())}
	second := proc.FD{PID: os.Getpid(), FD: int(again.Fd())}
	inherited := proc.FD{PID: child.pid, FD: givenFD}
	inheritedIs, secondIs := l.kcmp(mine, inherited), l.kcmp(second, inherited)
	inode, secondInode := l.inode(r), l.inode(again)
	flag, secondFlag := l.nonblockFlag(inherited), l.nonblockFlag(second)
	return fmt.Sprintf("kcmp(2) of %v with %v: %s, with the second open: %s; inodes %d, %d; O_NONBLOCK by /proc/PID/fdinfo: %s in the child, %s in the second open",
			inherited, mine, inheritedIs, secondIs, inode, secondInode, flag, secondFlag),
		(inheritedIs == "equal" || inheritedIs == unknown) && (secondIs == "not equal" || secondIs == unknown) &&
			inode == secondInode && flag == "set" && secondFlag == "not set"
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

func passing(l *lab) (string, bool) {
	r, w := l.pipe(0)
	if l.err != nil {
		return "", false
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		l.fail(os.NewSyscallError("socketpair", err))
		return "", false
	}
	near, far := os.NewFile(uintptr(pair[0]), "socket"), os.NewFile(uintptr(pair[1]), "socket")
	l.files = append(l.files, near, far)
	sent, opener := l.peer(far), l.peer()
	before := l.ends(sent, w) + l.ends(opener, w)

	l.fail(os.NewSyscallError("sendmsg", unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(int(w.Fd())), nil, 0)))
	received := sent.do(order{Do: doReceive, FD: givenFD})
	path := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), w.Fd())
	opened := opener.do(order{Do: doOpen, Data: []byte(path)})
	if opened.Errno == unix.EACCES {
		l.cannotSee("how the pipe is opened through /proc", opened.Errno)
	}
	if l.err != nil || received.Errno != 0 {
		return fmt.Sprintf("recvmsg(2): %v", received), false
	}
	mine := proc.FD{PID: os.Getpid(), FD: int(w.Fd())}
	sentIs := l.kcmp(mine, proc.FD{PID: sent.pid, FD: received.N})
	wrote := sent.do(order{Do: doWrite, FD: received.N, Data: hello}).N
	openedIs := opened.String() // the error
	if opened.Errno == 0 {
		openedIs = l.kcmp(mine, proc.FD{PID: opener.pid, FD: opened.N})
		wrote += opener.do(order{Do: doWrite, FD: opened.N, Data: hello}).N
	}
	after := l.ends(sent, w) + l.ends(opener, w)
	got := l.peer(r).do(read(100))
	return fmt.Sprintf("descriptors of the pipe in processes %d and %d: %d before, %d after; kcmp(2) with the one that was sent: %s, with the one that was opened: %s; read(2) returned %v",
			sent.pid, opener.pid, before, after, sentIs, openedIs, got),
		before == 0 && (after == 2 && wrote == 2*len(hello) || opened.Errno == unix.EACCES && after == 1) && got.N == wrote &&
			(sentIs == "equal" || sentIs == unknown) && openedIs != "equal"
}

func execution(l *lab) (string, bool) {
	r, w := l.pipe(0)
	page, err := unix.MemfdCreate("page", unix.MFD_CLOEXEC)
	if err != nil {
		l.fail(os.NewSyscallError("memfd_create", err))
		return "", false
	}
	file := os.NewFile(uintptr(page), "page")
	l.files = append(l.files, file)
	l.fail(file.Truncate(int64(os.Getpagesize())))
	p := l.peer(r, file)
	mapping := p.do(order{Do: doMapPrivate, FD: givenFD + 1}).N
	p.do(order{Do: doPoke, N: mapping, Data: []byte("x")})
	own := p.do(order{Do: doPeek, N: mapping})
	l.peer(w).do(write(hello))

	before := l.mappings(p, "memfd:page")
	executed := p.do(order{Do: doExec, FD: givenFD})
	if executed.Errno != 0 {
		return fmt.Sprintf("execve(2): %v", executed), false
	}
	p.tid = executed.N // of the new program, whose first answer it is
	after := l.mappings(p, "memfd:page")
	got := p.do(read(100))
	return fmt.Sprintf("the page, which holds the letter %s, is mapped in process %d: %d times before execve(2), %d times after; its read(2) of descriptor %d then returned %v",
			own.Data, p.pid, before, after, givenFD, got),
		before == 1 && after == 0 && bytes.Equal(own.Data, []byte("x")) && bytes.Equal(got.Data, hello)
}

func goSIGPIPE(l *lab) (string, bool) {
	r, w := l.pipe(0)
	p := l.peer(w)
	p.do(order{Do: doDup, FD: givenFD, N: 2})
	if l.err != nil {
		return "", false
	}
	_ = r.Close()
	failed := p.do(order{Do: doGoWrite, FD: givenFD, Data: hello})
	p.begin(order{Do: doGoWrite, FD: 2, Data: hello})
	if l.err != nil {
		return "", false
	}
	status := p.wait()
	return fmt.Sprintf("write to descriptor %d: %v; to descriptor 2: process %d %s", givenFD, failed, p.pid, howItEnded(status)),
		failed.Errno == unix.EPIPE && status.Signaled() && status.Signal() == unix.SIGPIPE
}
