package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/fork"
)

// largePipe is the capacity that is asked for by default: 256 packets rather
// than 16, which halves the time of a full stream of short messages. It is what
// an unprivileged user may have (/proc/sys/fs/pipe-max-size).
const largePipe = 1 << 20

type server struct {
	env       *command.Env
	path      string
	mode      fs.FileMode
	readers   int
	keepAlive bool
	pipeSize  int // 0: large if allowed
	evidence  evidence

	fifo   *fifo.FIFO
	shared *os.File // the read end that the readers inherit
	word   string   // see fifo.SharedReader
	ledger *ledger
	hands  *hands

	exits    chan exit
	alive    map[int]*exec.Cmd // by slot
	lost     uint64            // messages that went with a killed reader
	printing bool              // stdout takes what is written
}

// exit is how a reader ended.
type exit struct {
	index int
	cmd   *exec.Cmd
}

// serve makes the FIFO, waits for a client, lets readers print what comes, and
// removes all again.
func (s *server) serve(ctx context.Context) (err error) {
	// Not only when a client has come, with messages for readers to take.
	if err := fork.Command(readerRole).Err; err != nil {
		return fmt.Errorf("start readers: %w", err)
	}
	s.exits = make(chan exit)
	s.alive = make(map[int]*exec.Cmd)
	s.printing = true
	if s.ledger, err = newLedger(s.readers + 1); err != nil { // one more for printRest
		return err
	}
	s.fifo, err = fifo.Create(ctx, s.path, fifo.Options{Mode: s.mode})
	if err != nil {
		return err
	}
	log := s.env.Log
	if s.fifo.Replaced() {
		log.Notice().Str("path", s.path).Msg("took over a FIFO that a dead server had left")
	}
	log.Notice().Str("path", s.path).Msg("created FIFO")
	s.evidence.made()
	defer func() {
		if lossErr := s.close(ctx); err == nil {
			err = lossErr
		} else if lossErr != nil {
			log.Error().Msg(lossErr.Error())
		}
	}()

	if err := s.setCapacity(); err != nil {
		return err
	}
	if err := s.awaitClient(ctx); err != nil {
		return err
	}
	if err := s.startReaders(); err != nil {
		return s.stop(err)
	}
	return s.supervise(ctx)
}

func (s *server) setCapacity() error {
	if s.pipeSize != 0 {
		_, err := s.fifo.SetCapacity(s.pipeSize)
		return err
	}
	if _, err := s.fifo.SetCapacity(largePipe); err != nil {
		s.env.Log.Debug().Err(err).Msg("the pipe keeps its default capacity")
	}
	return nil
}

// awaitClient blocks until a client has the FIFO open. A server that stays
// does not wait: it holds a write end itself.
func (s *server) awaitClient(ctx context.Context) error {
	log := s.env.Log
	if s.keepAlive {
		log.Notice().Msg("serving until Ctrl-C: run fifo-client in another terminal")
		if err := s.fifo.KeepOpen(); err != nil {
			return err
		}
		s.evidence.keptOpen()
		return nil
	}
	log.Notice().Msg("waiting for a client: run fifo-client in another terminal")
	r, err := s.fifo.OpenReader(ctx)
	if err != nil {
		return err
	}
	log.Notice().Msg("a client has come")
	s.evidence.clientCame()
	return r.Close()
}

func (s *server) startReaders() error {
	capacity, err := s.fifo.Capacity()
	if err != nil {
		return err
	}
	if s.hands, err = newHands(s.ledger, capacity+fifo.Atomic); err != nil {
		return err
	}
	if s.shared, s.word, err = s.fifo.Shared(); err != nil {
		return err
	}
	for i := range s.readers {
		if err := s.startReader(i); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) startReader(index int) error {
	defer s.evidence.delayEOF()()
	cmd := fork.Command(readerRole, s.word, strconv.Itoa(index))
	cmd.Stdout, cmd.Stderr = s.env.Stdout, s.env.Stderr
	cmd.ExtraFiles = []*os.File{s.shared, s.ledger.file, s.hands.file}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start reader: %w", err)
	}
	s.alive[index] = cmd
	s.env.Log.Debug().Int("pid", cmd.Process.Pid).Msg("started reader")
	s.evidence.inherited(cmd.Process.Pid, s.shared)
	go func() {
		_ = cmd.Wait() // the state tells more than the error
		s.exits <- exit{index, cmd}
	}()
	return nil
}

// supervise waits until all readers have ended by themselves, and replaces
// those that are killed. ctx ends it early.
func (s *server) supervise(ctx context.Context) error {
	for len(s.alive) > 0 {
		select {
		case <-ctx.Done():
			return s.stop(context.Cause(ctx))
		case e := <-s.exits:
			switch code := s.reaped(e); code {
			case endOfFile:
			case killed, stopped: // stopped, without being told to: by a forged mark
				if err := s.startReader(e.index); err != nil {
					return s.stop(err)
				}
				s.env.Log.Notice().Int("pid", s.alive[e.index].Process.Pid).Msg("started another reader in its place")
			case printFailed:
				s.printing = false
				errno := unix.Errno(s.ledger.slots[e.index].failure.Load())
				return s.stop(fmt.Errorf("write to stdout: %w", errno))
			default:
				return s.stop(fmt.Errorf("reader %d ended with code %d", e.cmd.Process.Pid, code))
			}
		}
	}
	s.env.Log.Notice().Msg("all readers have ended")
	return nil
}

// killed stands in the place of the exit code of a reader that has none.
const killed = -1

// reaped notes the end of a reader and returns its exit code.
func (s *server) reaped(e exit) int {
	delete(s.alive, e.index)
	s.ledger.slots[e.index].busy.Store(false)
	held := s.hands.of(e.index).empty()
	s.lost += held
	status := e.cmd.ProcessState.Sys().(syscall.WaitStatus) // on Linux it is one
	if !status.Signaled() {
		return status.ExitStatus()
	}
	s.env.Log.Warn().
		Int("pid", e.cmd.Process.Pid).
		Str("signal", unix.SignalName(status.Signal())).
		Uint64("messages_lost", held).
		Msg("a reader was killed")
	return killed
}
