package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/explain"
	"example.com/ipcsuite/internal/finding"
	"example.com/ipcsuite/internal/proc"
	"example.com/ipcsuite/pkg/pipe"
)

// tooLong ends an experiment that waits for what does not happen. It is far more than any
// takes, and makes a FAIL of what would be a hang.
const tooLong = 20 * time.Second

// trial is what experiments are made with.
type trial struct {
	stderr  *os.File
	limit   time.Duration // of an experiment
	newPipe func(flags int) (r, w *os.File, err error)
}

// see makes an experiment of steps in a lab, which say what was seen and whether it was as
// expected. An experiment that could not be completed does not hold; the error is of a
// user who has ended the program.
func (t trial) see(steps func(*lab) (seen string, holds bool)) func(context.Context) (finding.Sight, error) {
	return func(ctx context.Context) (finding.Sight, error) {
		limited, cancel := context.WithTimeoutCause(ctx, t.limit, fmt.Errorf("it had not come to its end after %v", t.limit))
		defer cancel()
		l := &lab{trial: t, ctx: limited}
		defer l.close()
		seen, holds := steps(l)
		if ctx.Err() != nil {
			return finding.Sight{}, context.Cause(ctx)
		}
		if l.err != nil {
			seen, holds = fmt.Sprintf("the experiment could not be completed: %v", l.err), false
		}
		return finding.Sight{Seen: seen, Holds: holds, Unseen: slices.Compact(l.unseen)}, nil
	}
}

// lab is where one experiment is made: its pipes, and the processes at their
// ends, which are children of this one. The first error ends the experiment:
// after it nothing is done any more and all results are zero, so that an
// experiment reads as a list of steps.
type lab struct {
	trial
	ctx context.Context

	files  []*os.File
	peers  []*peer
	unseen []string // what the kernel would not show, and why
	err    error
}

// fail keeps the first error. When ctx is done, it has killed the peers, and
// what follows from that is not worth telling.
func (l *lab) fail(err error) {
	switch {
	case l.err != nil || err == nil:
	case l.ctx.Err() != nil:
		l.err = context.Cause(l.ctx)
	default:
		l.err = err
	}
}

// close ends all processes, also those that are blocked, and closes all files.
func (l *lab) close() {
	for _, p := range l.peers {
		_ = p.cmd.Process.Kill()
		p.wait()
	}
	for _, f := range l.files {
		_ = f.Close()
	}
}

// pipe returns the ends of a new pipe. This process holds them too, until it
// closes them.
func (l *lab) pipe(flags int) (r, w *os.File) {
	if l.err != nil {
		return nil, nil
	}
	r, w, err := l.newPipe(flags)
	if err != nil {
		l.fail(err)
		return nil, nil
	}
	l.files = append(l.files, r, w)
	return r, w
}

// unknown stands for what the kernel would not show.
const unknown = "unknown"

func (l *lab) cannotSee(what string, err error) {
	l.unseen = append(l.unseen, fmt.Sprintf("%s: %v", what, explain.Reason(err)))
}

// nonblocking makes calls on an end of a pipe return EAGAIN instead of waiting,
// in all processes that have inherited it.
func (l *lab) nonblocking(f *os.File) {
	if l.err == nil {
		l.fail(os.NewSyscallError("fcntl", unix.SetNonblock(int(f.Fd()), true)))
	}
}

func (l *lab) setCapacity(f *os.File, bytes int) {
	if l.err == nil {
		_, err := pipe.SetCapacity(int(f.Fd()), bytes)
		l.fail(err)
	}
}

func (l *lab) capacity(f *os.File) (n int) {
	if l.err == nil {
		var err error
		n, err = pipe.Capacity(int(f.Fd()))
		l.fail(err)
	}
	return n
}

func (l *lab) buffered(f *os.File) (n int) {
	if l.err == nil {
		var err error
		n, err = pipe.Buffered(int(f.Fd()))
		l.fail(err)
	}
	return n
}

// disposition is what a peer does about SIGPIPE.
func (l *lab) disposition(p *peer) (word string) {
	if l.err == nil {
		var err error
		word, err = proc.Disposition(p.pid, unix.SIGPIPE)
		l.fail(err)
	}
	return word
}

// kcmp compares the open file descriptions of two descriptors.
func (l *lab) kcmp(a, b proc.FD) string {
	order, err := proc.Kcmp(a, b)
	switch {
	case err != nil:
		l.cannotSee("whether descriptions are the same, other than by their flags", err)
		return unknown
	case order == 0:
		return "equal"
	}
	return "not equal"
}

func (l *lab) inode(f *os.File) uint64 {
	var st unix.Stat_t
	l.fail(os.NewSyscallError("fstat", unix.Fstat(int(f.Fd()), &st)))
	return st.Ino
}

func (l *lab) nonblockFlag(d proc.FD) string {
	flags, err := d.Flags()
	switch {
	case err != nil:
		l.fail(explain.Reason(err))
		return unknown
	case flags&unix.O_NONBLOCK != 0:
		return "set"
	}
	return "not set"
}

func (l *lab) mapped(fd, flags int) []byte {
	m, err := unix.Mmap(fd, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, flags)
	l.fail(os.NewSyscallError("mmap", err))
	return m
}

// isFilePage returns bit 61 of the page's entry in /proc/self/pagemap, which says
// that the page is a file's or shared; a page that was copied on write is not.
func (l *lab) isFilePage(m []byte) string {
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		l.cannotSee("whose page it is", err)
		return unknown
	}
	defer f.Close()
	var entry [8]byte
	address := uintptr(unsafe.Pointer(&m[0]))
	if _, err := f.ReadAt(entry[:], int64(address)/int64(os.Getpagesize())*8); err != nil {
		l.cannotSee("whose page it is", err)
		return unknown
	}
	return fmt.Sprint(binary.NativeEndian.Uint64(entry[:]) >> 61 & 1)
}

// ends counts the descriptors of a peer that refer to the pipe.
func (l *lab) ends(p *peer, f *os.File) int {
	if l.err != nil {
		return 0
	}
	o, err := proc.ObjectOf(int(f.Fd()))
	l.fail(err)
	ends, err := o.Ends(p.pid)
	l.fail(explain.Reason(err))
	return len(ends)
}

// mappings counts how often a file is mapped.
func (l *lab) mappings(p *peer, file string) int {
	if l.err != nil {
		return 0
	}
	maps, err := proc.Maps(p.pid)
	l.fail(explain.Reason(err))
	return len(slices.DeleteFunc(maps, func(m proc.Mapping) bool { return !strings.Contains(m.Name, file) }))
}

// reopen opens a pipe by the name that a descriptor has in /proc, for a moment.
func (l *lab) reopen(name string) error {
	// Without O_NONBLOCK, a reader's open would wait for a writer, as of a FIFO.
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrPermission) {
		l.cannotSee("whether the pipe can be opened", err)
	}
	if err == nil {
		_ = f.Close()
	}
	return err
}

// result is an error by the name that manuals give it.
func result(err error) string {
	var errno unix.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	}
	return err.Error()
}
