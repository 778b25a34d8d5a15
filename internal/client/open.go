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

// Server is the server to be found, and how long to wait for it.
type Server struct {
	Name string // of its binary
	Path string // of its FIFO
	Wait time.Duration
	// Quiet says not to tell that there is a wait.
	Quiet bool
}

// Open opens the server's FIFO, whose Writer is then bound to ctx.
func (s Server) Open(ctx context.Context, log *command.Log) (*fifo.Writer, error) {
	w, err := fifo.OpenWriter(ctx, s.Path, fifo.NoWait)
	if s.Wait == 0 || !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENXIO) {
		return w, err
	}
	if !s.Quiet {
		log.Notice().Str("path", s.Path).Stringer("at_most", s.Wait).
			Msgf("waiting for a server: run %s in another terminal", s.Name)
	}
	// The time is for the opening only.
	opening, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(s.Wait, func() { cancel(fmt.Errorf("no server within %v", s.Wait)) })
	w, err = fifo.OpenWriter(opening, s.Path, fifo.WaitPath)
	if !timer.Stop() && err == nil { // both at once
		_ = w.Close() // never fails
		return nil, context.Cause(opening)
	}
	return w, err
}

// Explain adds to an error of looking for the server what to do about it.
func (s Server) Explain(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%w: start %s, or give it time with --wait", err, s.Name)
	case errors.Is(err, unix.ENXIO):
		return fmt.Errorf("%w: its server has died: start %s again, or give it time with --wait", err, s.Name)
	}
	return err
}
