package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"example.com/ipcsuite/internal/client"
	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/contract"
)

// healthCommand succeeds if a live server serves the FIFO.
func healthCommand(_ context.Context, env *command.Env, c *cli.Context) error {
	path, err := contract.FIFO(c)
	if err != nil {
		return err
	}
	pids, err := client.Server{Name: "fifo-server", Path: path}.Live()
	if err != nil {
		return err
	}
	env.Log.Debug().Ints("pids", pids).Msg("alive")
	return nil
}
