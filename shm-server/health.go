package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"example.com/ipcsuite/internal/client"
	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/pkg/sysv"
)

// healthCommand succeeds if a live server serves the FIFO, and there is the segment that a
// client needs too.
func healthCommand(_ context.Context, env *command.Env, c *cli.Context) error {
	path, err := contract.Gate(c)
	if err != nil {
		return err
	}
	pids, err := client.Server{Name: "shm-server", Path: path}.Live()
	if err != nil {
		return err
	}
	_, info, err := serverSegment(c)
	if err != nil {
		return err
	}
	env.Log.Debug().Ints("pids", pids).Int("shmid", info.ID).Msg("alive")
	return nil
}

// serverSegment returns the segment that the flags lead to, and how.
func serverSegment(c *cli.Context) (sysv.KeyParts, sysv.Info, error) {
	source, err := contract.KeyOf(c)
	if err != nil {
		return sysv.KeyParts{}, sysv.Info{}, err
	}
	parts, err := source.Parts()
	if err != nil {
		return parts, sysv.Info{}, err
	}
	key, err := parts.Key()
	if err != nil {
		return parts, sysv.Info{}, err
	}
	info, found, err := findKey(key)
	if err == nil && !found {
		err = fmt.Errorf("no segment has the key that %v: start shm-server, or name another --key-path or --proj-id", parts)
	}
	return parts, info, err
}
