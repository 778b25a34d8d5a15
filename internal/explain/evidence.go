package explain

import (
	"io"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/proc"
	"example.com/ipcsuite/pkg/sysv"
)

// Prefix starts every line of evidence.
const Prefix = "  ⇒ "

// Access is what it takes to see the descriptors of other processes.
const Access = "(which takes the same user, or CAP_SYS_PTRACE, and the same PID namespace)"

// Evidence prints, after each step of a program, what the kernel shows of the step. A
// nil Evidence looks at nothing and prints nothing.
type Evidence struct{ out io.Writer }

// If returns Evidence that prints to out, or nil if it is not wanted. Commands pass
// their standard error: standard output carries data, which in some of them is any
// bytes at all, and on a terminal the two come out in order, as neither is buffered.
func If(wanted bool, out io.Writer) *Evidence {
	if !wanted {
		return nil
	}
	return &Evidence{out}
}

// Wanted reports whether e prints anything. A program asks before a look of its own.
func (e *Evidence) Wanted() bool { return e != nil }

// Print prints lines, each behind [Prefix].
func (e *Evidence) Print(lines ...string) {
	if e == nil {
		return
	}
	for _, line := range lines {
		// In one write, so that lines of several processes do not mix.
		_, _ = io.WriteString(e.out, Prefix+line+"\n")
	}
}

// Object prints [Node], and which ends of the object this process has.
func (e *Evidence) Object(o proc.Object) {
	if e != nil {
		e.Print(Node(o))
		e.Print(Holders(o, os.Getpid())...)
	}
}

// FIFO is Object for the FIFO at path. It returns the FIFO, and the ends that this
// process has; seen is false if the FIFO could not be looked at.
func (e *Evidence) FIFO(path string) (o proc.Object, own []proc.FD, seen bool) {
	if e == nil {
		return o, nil, false
	}
	o, err := proc.ObjectAt(path)
	if err != nil {
		e.Print(unseen("FIFO "+path, err))
		return o, nil, false
	}
	e.Object(o)
	own, _ = o.Ends(os.Getpid()) // Holders says why they cannot be seen
	return o, own, true
}

// Readers returns a read end in each process that reads the FIFO. Without any it
// prints why.
func (e *Evidence) Readers(o proc.Object) []proc.FD {
	if e == nil {
		return nil
	}
	ends := OnePerProcess(slices.DeleteFunc(o.AllEnds(), func(end proc.FD) bool {
		flags, err := end.Flags()
		return err != nil || flags&unix.O_ACCMODE == unix.O_WRONLY
	}))
	if len(ends) == 0 {
		e.Print("who reads the FIFO cannot be seen: /proc shows no such process " + Access)
	}
	return ends
}

// OnePerProcess leaves of [proc.Object.AllEnds] the first end of each process.
func OnePerProcess(ends []proc.FD) []proc.FD {
	return slices.CompactFunc(ends, func(a, b proc.FD) bool { return a.PID == b.PID })
}

// Holders prints [Holders].
func (e *Evidence) Holders(o proc.Object, pids ...int) {
	if e != nil {
		e.Print(Holders(o, pids...)...)
	}
}

// Description prints [Description].
func (e *Evidence) Description(a, b proc.FD) {
	if e != nil {
		e.Print(Description(a, b))
	}
}

// Inherited prints [Description] of a child's descriptor and of the file that the
// child was given as such.
func (e *Evidence) Inherited(child, fd int, given *os.File) {
	if e != nil {
		e.Description(proc.FD{PID: child, FD: fd}, proc.FD{PID: os.Getpid(), FD: int(given.Fd())})
	}
}

// Segment prints [Segment].
func (e *Evidence) Segment(s *sysv.Segment) {
	if e != nil {
		e.Print(Segment(s.ID()))
	}
}

// Attached prints [Segment], and [Place] of a segment that this process has attached.
func (e *Evidence) Attached(s *sysv.Segment) {
	if e == nil {
		return
	}
	e.Segment(s)
	_ = s.Use(func(mem []byte) error { // it is attached
		e.Print(Place("segment", uintptr(unsafe.Pointer(&mem[0])))...)
		return nil
	})
}
