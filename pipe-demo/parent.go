package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/grace"
	"example.com/ipcsuite/pkg/fork"
	"example.com/ipcsuite/pkg/pipe"
)

type parent struct {
	env      *command.Env
	count    int
	interval time.Duration
	text     string
	evidence evidence

	child  *exec.Cmd
	exited chan struct{} // closed once the child is reaped
	// messages is the write end of the pipe. In packet mode, so that each
	// write is one read, also where the child is slower than the parent.
	messages *os.File
	// printed is the read end of a second pipe, since one carries data in one
	// direction only: the child writes a byte for each message it has printed.
	// So the parent knows what arrived, and prints its own lines behind it.
	printed   *os.File
	delivered int
}

func (p *parent) message(n int) []byte { return fmt.Appendf(nil, "%s : %d", p.text, n) }

// run starts the child, sends the messages, closes the pipe and reaps.
func (p *parent) run(ctx context.Context) error {
	if err := p.start(); err != nil {
		return err
	}
	p.evidence.divided()
	sendErr := p.send(ctx)
	if sendErr == nil {
		sendErr = p.say(ctx, "Pipe close!!!\n")
	}
	_ = p.messages.Close() // nothing is buffered on this side
	p.evidence.parentClosed()
	waitErr := p.reap(ctx)
	_ = p.printed.Close()

	lost := ""
	if n := p.count - p.delivered; n > 0 {
		lost = fmt.Sprintf(": messages not delivered: %d of %d", n, p.count)
	}
	switch {
	case sendErr != nil && !errors.Is(sendErr, errChildGone):
		return fmt.Errorf("%w%s", sendErr, lost)
	case waitErr != nil:
		return fmt.Errorf("%w%s", waitErr, lost)
	case sendErr != nil:
		return fmt.Errorf("%w%s", sendErr, lost)
	}
	return nil
}

func (p *parent) start() error {
	childReads, messages, err := pipe.New(unix.O_DIRECT)
	if err != nil {
		return err
	}
	defer childReads.Close() // the child has its own
	if err := p.evidence.made(childReads); err != nil {
		_ = messages.Close()
		return err
	}
	printed, childWrites, err := os.Pipe()
	if err != nil {
		_ = messages.Close()
		return err
	}
	defer childWrites.Close()

	p.child = fork.Command(childRole)
	p.child.Stdout, p.child.Stderr = p.env.Stdout, p.env.Stderr
	p.child.ExtraFiles = []*os.File{childReads, childWrites}
	if err := p.child.Start(); err != nil {
		return fmt.Errorf("start child: %w", err)
	}
	p.messages, p.printed = messages, printed
	p.exited = make(chan struct{})
	go func() {
		_ = p.child.Wait() // the state tells more than the error
		close(p.exited)
	}()
	p.evidence.inherited(p.child.Process.Pid, childReads)
	p.env.Log.Debug().Int("pid", p.child.Process.Pid).Msg("started child")
	return nil
}

// errChildGone says that the child has closed its ends before its time.
var errChildGone = errors.New("the child has gone")

// send writes the messages, and waits after each until it is printed.
func (p *parent) send(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		_ = p.printed.SetReadDeadline(time.Now()) // ends the wait for the child
	})()
	for n := range p.count {
		if n > 0 {
			if err := p.pause(ctx); err != nil {
				return err
			}
		}
		if _, err := p.messages.Write(p.message(n)); err != nil {
			if errors.Is(err, unix.EPIPE) {
				return errChildGone
			}
			return fmt.Errorf("write the pipe: %w", err)
		}
		var ack [1]byte
		_, err := p.printed.Read(ack[:])
		switch {
		case errors.Is(err, io.EOF):
			return errChildGone
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return fmt.Errorf("wait for the child: %w", err)
		}
		p.delivered++
		if n == 0 {
			p.evidence.delivered(ctx)
		}
	}
	return nil
}

// pause waits for the interval between two messages.
func (p *parent) pause(ctx context.Context) error {
	timer := time.NewTimer(p.interval)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-p.exited:
		return errChildGone
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// reap waits for the child, and says how it ended.
func (p *parent) reap(ctx context.Context) error {
	timer := time.AfterFunc(grace.Period, func() { _ = p.child.Process.Kill() })
	<-p.exited
	timer.Stop()

	pid := p.child.Process.Pid
	status := p.child.ProcessState.Sys().(syscall.WaitStatus) // on Linux it is one
	p.evidence.reaped(status)
	if status.Signaled() {
		sig := status.Signal()
		_ = p.say(ctx, "Child process %d killed by signal : %d (%s)\n", pid, sig, unix.SignalName(sig))
		return fmt.Errorf("child process %d was killed by %s", pid, unix.SignalName(sig))
	}
	if err := p.say(ctx, "Child process %d quit code : %d\n", pid, status.ExitStatus()); err != nil {
		return err
	}
	switch status.ExitStatus() {
	case 0:
		return nil
	case printFailed:
		return fmt.Errorf("child process %d could not write to stdout", pid)
	default:
		return fmt.Errorf("child process %d quit with code %d", pid, status.ExitStatus())
	}
}

// say prints a line. When ctx is done, it does not wait for a stdout that takes nothing.
func (p *parent) say(ctx context.Context, format string, args ...any) error {
	_, err := grace.Write(ctx, p.env.Stdout, fmt.Appendf(nil, format, args...))
	return err
}
