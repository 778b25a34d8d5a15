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
	"example.com/ipcsuite/pkg/sysv"
)

// healthCommand looks at both halves of what a client needs.
func healthCommand(_ context.Context, env *command.Env, c *cli.Context) error {
	path, err := contract.Gate(c)
	if err != nil {
		return err
	}
	err = fifo.Live(path)
	var live *fifo.LiveError
	switch {
	case err == nil:
		return fmt.Errorf("FIFO %s: no process serves it: start shm-server", path)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: start shm-server", err)
	case !errors.As(err, &live):
		return err
	}
	_, info, err := serverSegment(c)
	if err != nil {
		return err
	}
	env.Log.Debug().Ints("pids", live.PIDs).Int("shmid", info.ID).Msg("alive")
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
