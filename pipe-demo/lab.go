package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/explain"
	"example.com/ipcsuite/pkg/fork"
	"example.com/ipcsuite/pkg/pipe"
)

// lab is where one experiment is made: its pipes, and the processes at their
// ends, which are children of this one. The first error ends the experiment:
// after it nothing is done any more and all results are zero, so that an
// experiment reads as a list of steps.
type lab struct {
	ctx     context.Context
	stderr  *os.File
	newPipe func(flags int) (r, w *os.File, err error)

	files  []*os.File
	peers  []*peer
	unseen []string // what the kernel would not show, and why
	err    error
}

// fail keeps the first error. When ctx is done, it has killed the peers, and
// what follows from that is not worth telling.
func (l *lab) fail(err error) {
	switch {
	case l.err != nil || err == nil:
	case l.ctx.Err() != nil:
		l.err = context.Cause(l.ctx)
	default:
		l.err = err
	}
}

// close ends all processes, also those that are blocked, and closes all files.
func (l *lab) close() {
	for _, p := range l.peers {
		_ = p.cmd.Process.Kill()
		p.wait()
	}
	for _, f := range l.files {
		_ = f.Close()
	}
}

// pipe returns the ends of a new pipe. This process holds them too, until it
// closes them.
func (l *lab) pipe(flags int) (r, w *os.File) {
	if l.err != nil {
		return nil, nil
	}
	r, w, err := l.newPipe(flags)
	if err != nil {
		l.fail(err)
		return nil, nil
	}
	l.files = append(l.files, r, w)
	return r, w
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
		t, err := explain.LookAt(p.pid, p.tid)
		switch {
		case err != nil:
			p.lab.fail(fmt.Errorf("process %d: %w", p.pid, explain.Reason(err)))
		case p.lab.ctx.Err() != nil:
			p.lab.fail(context.Cause(p.lab.ctx))
		case t.AsleepIn(call, givenFD):
			if t.Where == "" {
				p.lab.cannotSee("where the thread sleeps", explain.ErrHidden)
			}
			return t.String(), true
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

func (l *lab) cannotSee(what string, err error) {
	l.unseen = append(l.unseen, fmt.Sprintf("%s: %v", what, explain.Reason(err)))
}

// nonblocking makes calls on an end of a pipe return EAGAIN instead of waiting,
// in all processes that have inherited it.
func (l *lab) nonblocking(f *os.File) {
	if l.err == nil {
		l.fail(os.NewSyscallError("fcntl", unix.SetNonblock(int(f.Fd()), true)))
	}
}

func (l *lab) setCapacity(f *os.File, bytes int) {
	if l.err == nil {
		_, err := pipe.SetCapacity(int(f.Fd()), bytes)
		l.fail(err)
	}
}

func (l *lab) capacity(f *os.File) (n int) {
	if l.err == nil {
		var err error
		n, err = pipe.Capacity(int(f.Fd()))
		l.fail(err)
	}
	return n
}

func (l *lab) buffered(f *os.File) (n int) {
	if l.err == nil {
		var err error
		n, err = pipe.Buffered(int(f.Fd()))
		l.fail(err)
	}
	return n
}

// disposition is what a peer does about SIGPIPE.
func (l *lab) disposition(p *peer) (word string) {
	if l.err == nil {
		var err error
		word, err = explain.Disposition(p.pid, unix.SIGPIPE)
		l.fail(err)
	}
	return word
}
