package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/explain"
	"example.com/ipcsuite/internal/proc"
)

// The facts about how long a pipe lives, and how processes come to share it.

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
