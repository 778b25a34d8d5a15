package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/explain"
	"example.com/ipcsuite/internal/proc"
	"example.com/ipcsuite/pkg/fork"
)

const peerRole = "peer"

// order is one system call for a peer to make.
type order struct {
	Do   verb
	FD   int
	Data []byte // to be written, or the path to be opened
	N    int    // bytes to be read, how often to write, which mapping, or which descriptor
}

type verb int

const (
	doRead verb = iota
	doWrite
	doClose
	doDefaultSIGPIPE // be killed by it, as programs are that know nothing of it
	doIgnoreSIGPIPE
	doMapPrivate
	doMapShared
	doPeek // at the first byte of a mapping
	doPoke
	doOpen    // for writing
	doReceive // a descriptor through a Unix socket
	doDup     // the descriptor to N
	doGoWrite // as Go programs write, with what the runtime does about SIGPIPE
	doExec    // the same program, which goes on as a peer
)

// answer is how the call ended.
type answer struct {
	N     int
	Data  []byte
	Errno syscall.Errno
}

func (a answer) String() string {
	switch {
	case a.Errno != 0:
		return unix.ErrnoName(a.Errno)
	case a.N == 1:
		return "1 byte"
	default:
		return fmt.Sprintf("%d bytes", a.N)
	}
}

// givenFD is the first descriptor that a peer is given.
var givenFD = fork.FD(0)

// peer is a process that makes system calls on order.
type peer struct {
	lab     *lab
	cmd     *exec.Cmd
	pid     int
	tid     int // the thread that makes them
	orders  *os.File
	encoder *json.Encoder
	answers chan answer // closed when the process has ended
	ended   bool
}

// peer starts a process that inherits files, as descriptors givenFD, givenFD+1 and
// so on. Like after fork, this process still has its own.
func (l *lab) peer(files ...*os.File) *peer {
	p := &peer{lab: l}
	if l.err != nil {
		return p
	}
	stdin, orders, err := os.Pipe()
	if err != nil {
		l.fail(err)
		return p
	}
	answers, stdout, err := os.Pipe()
	if err != nil {
		_, _ = stdin.Close(), orders.Close()
		l.fail(err)
		return p
	}
	l.files = append(l.files, orders, answers)

	p.cmd = fork.Command(peerRole)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdin, stdout, l.stderr
	p.cmd.ExtraFiles = files
	err = p.cmd.Start()
	// The peer's ends are closed before anything is read, or the end of a peer
	// that dies at once would not be the end of its answers.
	_, _ = stdin.Close(), stdout.Close()
	if err != nil {
		l.fail(fmt.Errorf("start a peer: %w", err))
		return p
	}
	p.pid, p.orders, p.encoder = p.cmd.Process.Pid, orders, json.NewEncoder(orders)
	p.answers = make(chan answer, 2) // of one order: nobody waits for whom
	go func() {
		defer close(p.answers)
		defer context.AfterFunc(l.ctx, func() { _ = p.cmd.Process.Kill() })()
		for decoder := json.NewDecoder(answers); ; {
			var a answer
			if decoder.Decode(&a) != nil { // the end of the process
				return
			}
			p.answers <- a
		}
	}()
	l.peers = append(l.peers, p)
	p.tid = p.end().N
	return p
}

func read(n int) order { return order{Do: doRead, FD: givenFD, N: n} }

func write(data []byte) order { return order{Do: doWrite, FD: givenFD, Data: data} }

// do has the peer make a call, and waits until it has returned.
func (p *peer) do(o order) answer {
	p.begin(o)
	return p.end()
}

// begin has the peer make a call, and returns once it is about to.
func (p *peer) begin(o order) {
	if p.lab.err != nil {
		return
	}
	if err := p.encoder.Encode(o); err != nil {
		p.lab.fail(fmt.Errorf("process %d takes no orders: %w", p.pid, err))
		return
	}
	p.end()
}

// end waits until the call has returned.
func (p *peer) end() answer {
	if p.lab.err != nil {
		return answer{}
	}
	a, ok := <-p.answers
	if !ok {
		p.lab.fail(fmt.Errorf("process %d has ended unasked", p.pid))
	}
	return a
}

// asleep looks at the peer's thread until it sleeps in a call on the pipe, and
// says where; or until the call has returned without. It looks again and again, as
// the kernel has no call that waits for another process to fall asleep.
func (p *peer) asleep(call string) (seen string, yes bool) {
	for p.lab.err == nil {
		if len(p.answers) > 0 {
			return fmt.Sprintf("thread %d is not asleep: its call has returned", p.tid), false
		}
		t, err := proc.LookAt(p.pid, p.tid)
		switch {
		case err != nil:
			p.lab.fail(fmt.Errorf("process %d: %w", p.pid, explain.Reason(err)))
		case p.lab.ctx.Err() != nil:
			p.lab.fail(context.Cause(p.lab.ctx))
		case t.AsleepIn(call, givenFD):
			if t.Where == "" {
				p.lab.cannotSee("where the thread sleeps", proc.ErrHidden)
			}
			return explain.Thread(t), true
		}
		runtime.Gosched()
	}
	return "", false
}

// wait waits for the end of the process, which is the end of its orders unless
// it is blocked, and returns the status that wait4(2) got.
func (p *peer) wait() syscall.WaitStatus {
	if p.cmd == nil || p.cmd.Process == nil {
		return 0
	}
	if !p.ended {
		p.ended = true
		_ = p.orders.Close()
		for range p.answers { // until its end is closed
		}
		_ = p.cmd.Wait() // the status tells more than the error
	}
	return p.cmd.ProcessState.Sys().(syscall.WaitStatus) // on Linux it is one
}

// obey is the role of a peer: it reads orders from standard input, one call each, and
// answers on standard output. It answers twice, before the call and after it: a thread
// that is seen asleep after the first answer no longer waits for orders. The first answer
// of all is the thread's id. Each value is in JSON and stands for itself, so that a peer
// that has executed its program anew can go on.
//
// The end of the orders, which is also the end of the parent, ends it; a peer
// that is blocked in a call is killed, by [lab.close] or by package fork.
func obey(context.Context, []string) int {
	// All calls come from one thread, whose state the parent can look at.
	runtime.LockOSThread()
	orders, answers := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	err := answers.Encode(answer{N: unix.Gettid()})
	for p := new(peerState); err == nil; {
		var o order
		if err = orders.Decode(&o); err != nil {
			break
		}
		if err = answers.Encode(answer{}); err != nil {
			break
		}
		err = answers.Encode(p.call(o))
	}
	if errors.Is(err, io.EOF) {
		return 0
	}
	fmt.Fprintf(os.Stderr, "pipe-demo: peer %d: %v\n", os.Getpid(), err)
	return 1
}

type peerState struct {
	mappings [][]byte
}

// call makes one system call. An interrupted one is not tried again: Go's
// handlers are installed with SA_RESTART, so the kernel does.
func (p *peerState) call(o order) answer {
	var (
		a   answer
		err error
	)
	switch o.Do {
	case doRead:
		a.Data = make([]byte, o.N)
		a.N, err = unix.Read(o.FD, a.Data)
		a.Data = a.Data[:max(a.N, 0)]
	case doWrite:
		for range max(o.N, 1) {
			var n int
			if n, err = unix.Write(o.FD, o.Data); err != nil {
				break
			}
			a.N += n
		}
	case doClose:
		err = unix.Close(o.FD)
	case doDefaultSIGPIPE:
		err = defaultAction(unix.SIGPIPE)
	case doIgnoreSIGPIPE:
		signal.Ignore(unix.SIGPIPE)
	case doMapPrivate:
		a.N, err = p.mapPage(o.FD, unix.MAP_PRIVATE)
	case doMapShared:
		a.N, err = p.mapPage(o.FD, unix.MAP_SHARED)
	case doPeek:
		a.Data = []byte{p.mappings[o.N][0]}
	case doPoke:
		p.mappings[o.N][0] = o.Data[0]
	case doOpen:
		a.N, err = unix.Open(string(o.Data), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	case doReceive:
		a.N, err = receive(o.FD)
	case doDup:
		err = unix.Dup3(o.FD, o.N, 0)
	case doGoWrite:
		signal.Reset(unix.SIGPIPE) // what package fork does about it
		a.N, err = os.NewFile(uintptr(o.FD), "").Write(o.Data)
	case doExec:
		err = execAgain(o.FD)
	}
	errors.As(err, &a.Errno)
	return a
}

// mapPage maps the first page of a file, and returns the number of the mapping.
func (p *peerState) mapPage(fd, flags int) (number int, err error) {
	m, err := unix.Mmap(fd, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, flags)
	p.mappings = append(p.mappings, m)
	return len(p.mappings) - 1, err
}

// defaultAction gives a signal back to the kernel. The Go runtime catches every
// signal, and os/signal.Reset only makes it imitate the default action, for
// descriptors 1 and 2. Package syscall has no call for this, as the runtime
// would have no part in it any more.
func defaultAction(sig unix.Signal) error {
	var zero [4]uint64 // struct sigaction with sa_handler SIG_DFL, on every architecture
	const maskSize = 8
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&zero)), 0, maskSize, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// receive takes a descriptor out of a message, unix(7).
func receive(socket int) (int, error) {
	control := make([]byte, unix.CmsgSpace(4)) // of one descriptor
	_, n, _, _, err := unix.Recvmsg(socket, make([]byte, 1), control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return -1, err
	}
	if len(messages) == 0 {
		return -1, unix.ENOMSG
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	return fds[0], nil
}

// execAgain returns only if it fails. The arguments are what package fork has
// given, by which the new program knows that it is a peer; keep stays open.
func execAgain(keep int) error {
	arguments, err := os.ReadFile("/proc/self/cmdline")
	if err != nil {
		return err
	}
	if _, err := unix.FcntlInt(uintptr(keep), unix.F_SETFD, 0); err != nil {
		return err
	}
	return unix.Exec("/proc/self/exe", strings.Split(strings.TrimSuffix(string(arguments), "\x00"), "\x00"), os.Environ())
}
