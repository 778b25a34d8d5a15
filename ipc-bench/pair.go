package main

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fork"
)

// pair is the two ends, seen from the program that measures them. Where one
// process plays both, there is one.
type pair struct {
	ctx  context.Context
	sent uint64 // messages

	mu       sync.Mutex // until both have been started
	ends     []*process // the near one, and the far one if it is another
	stopping bool
	dead     bool // one has ended unasked
}

// process is one end.
type process struct {
	name    string
	cmd     *exec.Cmd
	orders  *gob.Encoder
	closing *os.File      // the orders, whose end is its end
	answers chan answer   // closed when it has ended
	read    chan struct{} // closed when it has said all,
	gone    bool          // which was that the other has gone
	ended   chan struct{}
	self    answer // its first
	killed  bool   // because the other has ended; guarded by pair.mu until ended
}

// startPair starts the ends and returns when they have met. The end of ctx is
// theirs.
func startPair(ctx context.Context, m mechanism, p plan, cpus pinning, stderr *os.File) (*pair, error) {
	pr := &pair{ctx: ctx}
	a := assignment{Mechanism: m.name, Near: true, Size: p.size, RingSize: p.ringSize, CPUs: cpus.near}
	if m.pair != nil {
		if err := pr.start("the only end", a, nil, cpus.near, stderr); err != nil {
			return nil, err
		}
		return pr.meet()
	}
	mt, err := m.meet(ctx, p)
	if err != nil {
		return nil, err
	}
	defer mt.leave()
	defer func() {
		for _, f := range append(mt.near, mt.far...) {
			_ = f.Close()
		}
	}()
	a.Names, a.File = mt.names, fork.FD(len(mt.near))
	if err := pr.start("the near end", a, with(mt.near, p.source), cpus.both(), stderr); err != nil {
		pr.stop()
		return nil, err
	}
	a.Near, a.CPUs = false, cpus.far
	if err := pr.start("the far end", a, with(mt.far, p.sink), cpus.both(), stderr); err != nil {
		pr.stop()
		return nil, err
	}
	// Only the ends themselves have them now: so each sees the end of the other.
	for _, f := range append(mt.near, mt.far...) {
		_ = f.Close()
	}
	return pr.meet()
}

// with adds a file, if there is one.
func with(files []*os.File, f *os.File) []*os.File {
	if f == nil {
		return files
	}
	return slices.Concat(files, []*os.File{f})
}

// meet waits until both have said who they are.
func (pr *pair) meet() (*pair, error) {
	for _, p := range pr.ends {
		a, ok := <-p.answers
		if !ok || a.Err != "" {
			return nil, pr.failed(p, a)
		}
		p.self = a
	}
	return pr, nil
}

// start starts an end, which has to know a.
func (pr *pair) start(name string, a assignment, files []*os.File, cpus []int, stderr *os.File) error {
	stdin, orders, err := os.Pipe()
	if err != nil {
		return err
	}
	answers, stdout, err := os.Pipe()
	if err != nil {
		_, _ = stdin.Close(), orders.Close()
		return err
	}
	p := &process{name: name, orders: gob.NewEncoder(orders), closing: orders, answers: make(chan answer, 4), read: make(chan struct{}), ended: make(chan struct{})}
	p.cmd = fork.Command(endRole)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdin, stdout, stderr
	p.cmd.ExtraFiles = files
	err = startOn(cpus, p.cmd.Start)
	_, _ = stdin.Close(), stdout.Close()
	if err != nil {
		_, _ = orders.Close(), answers.Close()
		return fmt.Errorf("start %s: %w", name, err)
	}
	pr.add(p)
	go p.listen(answers)
	kill := context.AfterFunc(pr.ctx, func() { _ = p.cmd.Process.Kill() })
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // the state tells more than the error
		kill()
		<-p.read
		pr.hasEnded(p)
	}()
	if err := p.orders.Encode(a); err != nil && !errors.Is(err, unix.EPIPE) { // else its end tells more
		return fmt.Errorf("%s takes no orders: %w", name, err)
	}
	return nil
}

// listen passes on what the end says, until it has ended.
func (p *process) listen(answers *os.File) {
	defer close(p.read)
	defer close(p.answers)
	defer answers.Close()
	for decoder := gob.NewDecoder(answers); ; {
		var a answer
		if decoder.Decode(&a) != nil { // the end of the process
			return
		}
		p.gone = a.Gone
		p.answers <- a // there is room for all that it may say unasked
	}
}

// add makes p one of the ends.
func (pr *pair) add(p *process) {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	pr.ends = append(pr.ends, p)
	if pr.dead {
		p.kill()
	}
}

// hasEnded takes the other end along if nobody has asked for the end of this one:
// it may be waiting for it, in a call that only its end would end. Where this one
// has ended because the other has gone, that is on its way, and its own end tells
// why.
func (pr *pair) hasEnded(p *process) {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if pr.stopping {
		return
	}
	pr.dead = true
	for _, other := range pr.ends {
		if other != p && !p.gone && other.alive() {
			other.kill()
		}
	}
}

func (p *process) kill() {
	p.killed = true
	_ = p.cmd.Process.Kill()
}

// alive reports whether the process has not ended, which it may have although
// nobody has waited for it yet.
func (p *process) alive() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Signo == 0
}

// stop ends both ends and returns when they have ended.
func (pr *pair) stop() {
	pr.mu.Lock()
	pr.stopping = true
	pr.mu.Unlock()
	for _, p := range pr.ends {
		_ = p.closing.Close()
	}
	for _, p := range pr.ends {
		for range p.answers { // so that it is not held up by one
		}
		<-p.ended
	}
}

// failed waits until both have ended, which one has done or is about to, and
// returns why: what an end has said, unless that is only that the other has gone,
// or else what has ended it.
func (pr *pair) failed(p *process, a answer) error {
	said := map[*process]answer{p: a}
	for _, p := range pr.ends {
		for a := range p.answers {
			if a.Err != "" {
				said[p] = a
			}
		}
		<-p.ended
		_ = p.closing.Close()
	}
	if pr.ctx.Err() != nil {
		return context.Cause(pr.ctx)
	}
	var likely error
	for _, p := range pr.ends {
		who := fmt.Sprintf("%s, process %d", p.name, p.cmd.Process.Pid)
		switch a := said[p]; {
		case a.Err != "" && !a.Gone:
			return fmt.Errorf("%s: %s", who, a.Err)
		case a.Err == "" && !p.killed:
			likely = fmt.Errorf("%s, ended in the middle of the work: %v", who, p.cmd.ProcessState)
		case a.Err != "" && likely == nil:
			likely = fmt.Errorf("%s: %s", who, a.Err)
		}
	}
	return likely
}

// round has both ends do the same, and returns what each has to say. Where one
// process plays both, the near end has used everything.
func (pr *pair) round(do exercise, messages int) (near, far answer, err error) {
	o := order{Do: do, Messages: messages, First: pr.sent}
	pr.sent += uint64(messages)
	for _, p := range pr.ends {
		if err := p.orders.Encode(o); err != nil {
			return answer{}, answer{}, pr.failed(p, answer{})
		}
	}
	var got []answer
	for _, p := range pr.ends {
		a, ok := <-p.answers
		if !ok || a.Err != "" {
			return answer{}, answer{}, pr.failed(p, a)
		}
		got = append(got, a)
	}
	if len(got) == 1 {
		return got[0], answer{Start: got[0].Start, End: got[0].End}, nil
	}
	return got[0], got[1], nil
}
