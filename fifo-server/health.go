package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/urfave/cli/v2"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/pkg/fifo"
)

// healthCommand succeeds if a live server serves the FIFO. It opens the FIFO as little as
// [fifo.Live] does, so that neither server nor client takes it for a peer.
func healthCommand(_ context.Context, env *command.Env, c *cli.Context) error {
	path, err := contract.FIFO(c)
	if err != nil {
		return err
	}
	err = fifo.Live(path)
	var live *fifo.LiveError
	switch {
	case errors.As(err, &live):
		env.Log.Debug().Ints("pids", live.PIDs).Msg("alive")
		return nil
	case err == nil:
		return fmt.Errorf("FIFO %s: no process serves it: start fifo-server", path)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: start fifo-server", err)
	}
	return err
}
