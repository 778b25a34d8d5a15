package chaos

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// process is a server or client at work.
type process struct {
	cmd            *exec.Cmd
	stdin          *os.File
	stdout, stderr *output
	ended          chan struct{} // closed when it is reaped
}

// marker is the variable by which a process and all that it starts are known
// to be a round's.
const marker = "CHAOS_ROUND"

// projID keeps the keys of the campaign's segments apart from those that other tests
// may have at the time: of two folders, the keys are the same more often than one
// would think.
const projID = 0x5c

// start starts a program, and collects what it writes.
func start(t *testing.T, mark, dir string, args ...string) *process {
	t.Helper()
	p, stdout := launch(t, mark, dir, args...)
	p.stdout = collect(stdout)
	return p
}

// launch starts a program, and returns the end of the pipe that is its stdout.
func launch(t *testing.T, mark, dir string, args ...string) (p *process, stdout *os.File) {
	t.Helper()
	p = &process{cmd: exec.Command(args[0], args[1:]...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "IPC_DIR="+dir, fmt.Sprint("IPC_PROJ_ID=", projID), marker+"="+mark)
	in, stdin, err1 := os.Pipe()
	outR, out, err2 := os.Pipe()
	errR, stderr, err3 := os.Pipe()
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = in, out, stderr
	err := p.cmd.Start()
	for _, theirs := range []*os.File{in, out, stderr} {
		theirs.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	p.stdin, p.stderr = stdin, collect(errR)
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // its state tells
	}()
	return p, outR
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// state is how it ended.
func (p *process) state() syscall.WaitStatus {
	return p.cmd.ProcessState.Sys().(syscall.WaitStatus) // on Linux it is one
}

// output is what processes write to one pipe, as far as it has come.
type output struct {
	mu    sync.Mutex
	text  []byte
	grown chan struct{} // closed when there is more, or the end
	ended chan struct{} // closed when nobody has the pipe open any more
	held  chan struct{} // nil, or not read before it is closed
}

func collect(r *os.File) *output {
	o := &output{grown: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		for buf := make([]byte, 64<<10); ; {
			o.mu.Lock()
			held := o.held
			o.mu.Unlock()
			if held != nil {
				<-held
			}
			n, err := r.Read(buf)
			o.mu.Lock()
			o.text = append(o.text, buf[:n]...)
			close(o.grown)
			o.grown = make(chan struct{})
			o.mu.Unlock()
			if err != nil {
				r.Close()
				close(o.ended)
				return
			}
		}
	}()
	return o
}

// hold keeps the pipe from being read, but for once, until release.
func (o *output) hold() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held == nil {
		o.held = make(chan struct{})
	}
}

func (o *output) release() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held != nil {
		close(o.held)
		o.held = nil
	}
}

func (o *output) string() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

func (o *output) size() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.text)
}

// await returns true once text stands behind the first bytes, and false when it
// is known that it will not.
func (o *output) await(after int, text string, timeout <-chan time.Time) bool {
	for {
		o.mu.Lock()
		found, grown := bytes.Contains(o.text[after:], []byte(text)), o.grown
		o.mu.Unlock()
		if found {
			return true
		}
		select {
		case <-grown:
		case <-o.ended:
			return bytes.Contains(o.text[after:], []byte(text))
		case <-timeout:
			return false
		}
	}
}

// tryFeed writes to stdin what it takes now. It fails with EAGAIN if that is
// nothing, and with EPIPE when the process has gone.
func (p *process) tryFeed(text []byte) (n int, err error) {
	raw, err := p.stdin.SyscallConn()
	if err != nil {
		return 0, err
	}
	ctlErr := raw.Write(func(fd uintptr) bool {
		n, err = unix.Write(int(fd), text)
		return true
	})
	return max(n, 0), errors.Join(ctlErr, err)
}

// children returns the pids of the children of a process, in their order.
func children(pid int) (pids []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		for _, field := range strings.Fields(string(text)) {
			child, _ := strconv.Atoi(field)
			pids = append(pids, child)
		}
	}
	slices.Sort(pids)
	return pids
}

// victim is a process that a fault is meant for: by a descriptor, as its number may
// be another's by the time of the fault.
type victim struct{ pid, fd int }

// aim returns the process of that pid as a victim if, once it is held by a
// descriptor, it is still the one that was meant.
func aim(pid int, meant func() bool) []victim {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil
	}
	if !meant() {
		unix.Close(fd)
		return nil
	}
	return []victim{{pid, fd}}
}

// hit sends the signal, and reports whether there was somebody to get it. It
// returns when SIGKILL has done its work.
func (v victim) hit(sig syscall.Signal) bool {
	if unix.PidfdSendSignal(v.fd, sig, nil, 0) != nil {
		return false
	}
	for sig == unix.SIGKILL {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(v.fd), Events: unix.POLLIN}}, -1)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return true
}

// self is p itself.
func (p *process) self() []victim {
	return aim(p.pid(), func() bool {
		select {
		case <-p.ended:
			return false
		default:
			return true
		}
	})
}

// children are the processes that p has started, in the order of their pids.
func (p *process) children() (found []victim) {
	for _, pid := range children(p.pid()) {
		found = append(found, aim(pid, func() bool { return slices.Contains(children(p.pid()), pid) })...)
	}
	return found
}

// kill sends a signal to a process of the round, if it is there.
func kill(pid int, mark string, sig syscall.Signal) {
	for _, v := range aim(pid, func() bool { return marked(pid, mark) }) {
		v.hit(sig)
		unix.Close(v.fd)
	}
}

func marked(pid int, mark string) bool {
	environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return slices.Contains(strings.Split(string(environ), "\x00"), marker+"="+mark)
}

// allMarked returns the processes of the round that there are.
func allMarked(mark string) (pids []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if marked(pid, mark) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// descriptors returns how many descriptors a process has open, -1 if it has
// gone.
func descriptors(pid int) int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return -1
	}
	return len(entries)
}
