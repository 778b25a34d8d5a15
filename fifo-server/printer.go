package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// batch is how many bytes of output a reader collects while messages come
// faster than it prints. Larger ones gain nothing measurable.
const batch = 32 << 10

// errPrint is why a reader ends that could not print.
var errPrint = errors.New("print")

// printer writes messages to stdout, lines of one process never inside those
// of another. It holds back what it is given until flush or until a batch is
// full.
type printer struct {
	out    io.Writer
	ledger *ledger
	slot   *slot
	head   string
	buf    []byte
	held   uint64
}

func newPrinter(out io.Writer, l *ledger, s *slot) *printer {
	return &printer{
		out:    out,
		ledger: l,
		slot:   s,
		head:   fmt.Sprintf("[ %d ] client say : ", os.Getpid()),
		buf:    make([]byte, 0, 2*batch),
	}
}

// message adds a message. A lone newline is how an empty one travels.
func (p *printer) message(text []byte) error {
	if string(text) == "\n" {
		text = nil
	}
	p.buf = append(p.buf, p.head...)
	p.buf = append(p.buf, text...)
	p.buf = append(p.buf, '\n')
	p.held++
	p.slot.hold(p.held)
	if len(p.buf) < batch {
		return nil
	}
	return p.flush()
}

// line adds a line that is no message.
func (p *printer) line(text string) {
	p.buf = append(p.buf, text...)
	p.buf = append(p.buf, '\n')
}

// flush prints all that is held back. Under the lock, as a pipe takes more than
// PIPE_BUF bytes in parts between which others can write.
func (p *printer) flush() error {
	if len(p.buf) == 0 {
		return nil
	}
	p.ledger.lock()
	var err error
	if p.ledger.startPrinting() {
		_, err = p.out.Write([]byte{'\n'})
	}
	if err == nil {
		_, err = p.out.Write(p.buf)
	}
	if err == nil {
		p.ledger.endPrinting()
	}
	p.ledger.unlock()
	if err != nil {
		var errno unix.Errno
		errors.As(err, &errno)
		p.slot.failure.Store(uint64(errno))
		return fmt.Errorf("%w: %w", errPrint, err)
	}
	p.slot.printed.Add(p.held)
	p.held = 0
	p.slot.hold(0)
	p.buf = p.buf[:0]
	return nil
}
