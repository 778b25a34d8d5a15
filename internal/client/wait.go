package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/pkg/fifo"
)

// open opens the FIFO, and waits for a server if that is wanted.
func (s Server) open(ctx context.Context, log *command.Log) (*fifo.Writer, error) {
	w, err := fifo.OpenWriter(ctx, s.Path, fifo.NoWait)
	if s.Wait == 0 || !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENXIO) {
		return w, err
	}
	if !s.Quiet {
		log.Notice().Str("path", s.Path).Stringer("at_most", s.Wait).
			Msgf("waiting for a server: run %s in another terminal", s.Name)
	}
	// The time is for the opening only: ctx goes on to end the Writer's waits.
	opening, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(s.Wait, func() {
		cancel(fmt.Errorf("no server within %v: start %s, or give it more time with --wait", s.Wait, s.Name))
	})
	w, err = fifo.OpenWriter(opening, s.Path, fifo.WaitPath)
	if !timer.Stop() && err == nil { // both at once
		_ = w.Close() // never fails
		return nil, context.Cause(opening)
	}
	return w, err
}

// Advise adds to an error of looking for the server what to do about it.
func (s Server) Advise(err error) error {
	orWait := ""
	if s.Wait == 0 {
		orWait = ", or give it time with --wait"
	}
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%w: start %s%s", err, s.Name, orWait)
	case errors.Is(err, unix.ENXIO):
		return fmt.Errorf("%w: its server has died: start %s again%s", err, s.Name, orWait)
	}
	return err
}
