package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/grace"
	"example.com/ipcsuite/internal/proc"
	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/sysv"
)

// createSegment makes the segment and attaches it, in place of one that a dead
// server has left.
func (s *server) createSegment(ctx context.Context) error {
	log := s.env.Log
	parts, err := s.key.Parts()
	if err != nil {
		return err
	}
	key, err := parts.Key()
	if err != nil {
		return err
	}
	log.Notice().Stringer("key", key).Msg("made key")
	log.Debug().Msg(parts.String())
	s.evidence.madeKey(parts)

	// Servers with one key path take turns, so that no other one ever sees a
	// server's segment before the server has attached it.
	unlock, err := lock(ctx, s.key.Path)
	if err != nil {
		return err
	}
	defer unlock()
	s.slot, err = sysv.Create(key, s.size, s.mode)
	if errors.Is(err, unix.EEXIST) {
		if err := s.removeStale(key, parts); err != nil {
			return err
		}
		s.slot, err = sysv.Create(key, s.size, s.mode)
	}
	if err != nil {
		return err
	}
	log.Notice().Int("shmid", s.slot.ID()).Int("bytes", s.size).Msg("created segment")
	s.evidence.created(s.slot)
	attach := s.slot.AttachReadOnly
	if s.stream {
		attach = s.attachRing
	}
	if err := attach(); err != nil {
		return errors.Join(err, s.slot.Remove())
	}
	log.Notice().Int("shmid", s.slot.ID()).Msg("attached segment")
	s.evidence.attached(s.slot)
	return nil
}

func (s *server) removeSegment() {
	log := s.env.Log
	if !s.left { // or the end of the process detaches it
		if err := s.slot.Detach(); err != nil {
			log.Warn().Err(err).Msg("the segment stays attached")
		}
	}
	s.evidence.Segment(s.slot)
	err := s.slot.Remove()
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EIDRM):
		log.Warn().Int("shmid", s.slot.ID()).Msg("the segment had been removed already")
		return
	case err != nil:
		log.Warn().Err(err).Msg("the segment stays")
		return
	}
	log.Notice().Int("shmid", s.slot.ID()).Msg("detached and removed segment")
	s.evidence.Segment(s.slot)
}

// removeStale removes the segment that has the key, if it is the caller's and
// its server dead.
func (s *server) removeStale(key sysv.Key, parts sysv.KeyParts) error {
	old, found, err := findKey(key)
	if err != nil || !found { // gone by now
		return err
	}
	const choose = "choose another --proj-id or --key-path"
	if !old.OwnedBy(os.Geteuid()) {
		return fmt.Errorf("key %v is taken by a segment of another user (%v): %w: %s; %v", key, old, unix.EPERM, choose, parts)
	}
	if pid := old.CreatorPID; old.Attached > 0 && attached(pid, old.ID) {
		return fmt.Errorf("key %v is taken by segment %d of live process %d: %w: stop it, or %s; %v", key, old.ID, pid, unix.EEXIST, choose, parts)
	}
	// The process may be in another PID namespace, but its FIFO is not.
	var live *fifo.LiveError
	if err := fifo.Live(s.fifoPath); old.Attached > 0 && errors.As(err, &live) {
		return err
	}
	segment, err := sysv.OpenID(old.ID)
	if err != nil {
		return err
	}
	if err := segment.Remove(); err != nil {
		return err
	}
	s.env.Log.Notice().Int("shmid", old.ID).Int("pid", old.CreatorPID).Msg("removed a segment that a dead server had left")
	return nil
}

// findKey looks the key up in the list, which takes no permission on the
// segment.
func findKey(key sysv.Key) (info sysv.Info, found bool, err error) {
	return find(func(i sysv.Info) bool { return i.Key == key })
}

func find(match func(sysv.Info) bool) (info sysv.Info, found bool, err error) {
	list, err := sysv.List()
	if i := slices.IndexFunc(list, match); i >= 0 {
		return list[i], true, nil
	}
	return sysv.Info{}, false, err
}

// attached reports whether the process has the segment attached, which says
// more than that a process of that number is alive: numbers are used again. What
// cannot be seen, or not to its end, may be attached, and is let be.
func attached(pid, shmid int) bool {
	segments, err := proc.Segments(pid)
	if err != nil {
		gone := errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)
		return !gone
	}
	return slices.ContainsFunc(segments, func(s proc.Segment) bool { return s.ID == shmid })
}

// lockTime is how long the lock of the key path is waited for. Other servers keep
// it for microseconds; but everyone who may read the file may lock it, without end.
const lockTime = 5 * time.Second

// lock takes the flock(2) of a file or folder, and returns what gives it back.
// ctx and lockTime end the wait.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("key path %s: neither a file nor a folder: name another with --key-path", path)
	}
	// If the path names a FIFO by now, this does not block.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("key path: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lockTime,
		fmt.Errorf("for %v by now: %w: lslocks(8) shows which; end it, or choose another --key-path", lockTime, unix.EBUSY))
	defer cancel()
	var work grace.Work
	left, err := work.Run(ctx, 0, func() error {
		work.Unlock()
		defer work.Lock()
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX)
		for errors.Is(err, unix.EINTR) {
			err = unix.Flock(int(file.Fd()), unix.LOCK_EX)
		}
		return os.NewSyscallError("flock", err)
	})
	switch {
	case left: // and the file with it, until this process ends
		return nil, fmt.Errorf("another process keeps %s locked: %w", path, err)
	case err != nil:
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { file.Close() }, nil
}
