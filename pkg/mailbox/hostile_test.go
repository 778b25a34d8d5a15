package mailbox_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/internal/ipctest"
	"example.com/ipcsuite/pkg/mailbox"
	"example.com/ipcsuite/pkg/sysv"
)

// hostile is a process that has the segment and the FIFO, and keeps to nothing.
type hostile struct {
	slot   *sysv.Segment // attached once more, elsewhere
	stream int           // ends of the FIFO, non-blocking
	packet int
	drain  int
}

func (p *place) hostile(f *testing.F) *hostile {
	h := &hostile{
		slot:   p.again(f),
		drain:  ipctest.Open(f, p.path, unix.O_RDONLY|unix.O_NONBLOCK),
		stream: ipctest.Open(f, p.path, unix.O_WRONLY|unix.O_NONBLOCK),
		packet: ipctest.Open(f, p.path, unix.O_WRONLY|unix.O_NONBLOCK),
	}
	if _, err := unix.FcntlInt(uintptr(h.packet), unix.F_SETFL, unix.O_NONBLOCK|unix.O_DIRECT); err != nil {
		f.Fatal(err)
	}
	return h
}

// attack goes through script: three bytes say what to do, where, and with what.
func (h *hostile) attack(script []byte) {
	var scratch [fifo.Atomic]byte
	for ; len(script) > 2; script = script[3:] {
		do, where, what := script[0]%8, int(script[1]), script[2]
		switch do {
		case 0:
			_, _ = h.slot.WriteAt([]byte{what}, int64(where%h.slot.Size()))
		case 1: // no end
			_, _ = h.slot.WriteAt(bytes.Repeat([]byte{what | 0x80}, h.slot.Size()), 0)
		case 2:
			_, _ = unix.Write(h.stream, scratch[:1+where%9])
		case 3:
			_, _ = unix.Write(h.packet, scratch[:1+where*16])
		case 4:
			_, _ = unix.Read(h.drain, scratch[:1+where])
		case 5:
			_, _ = unix.FcntlInt(uintptr(h.drain), unix.F_SETPIPE_SZ, os.Getpagesize()*(1+where%4))
		case 6:
			how := unix.LOCK_EX
			if what%2 == 0 {
				how = unix.LOCK_UN
			}
			_ = unix.Flock(h.stream, how|unix.LOCK_NB)
		case 7:
			runtime.Gosched()
		}
	}
}

// clear leaves the FIFO as it was at the start.
func (h *hostile) clear(t *testing.T) {
	_ = unix.Flock(h.stream, unix.LOCK_UN)
	var scratch [fifo.Atomic]byte
	for {
		if _, err := unix.Read(h.drain, scratch[:]); err != nil {
			break
		}
	}
	if _, err := unix.FcntlInt(uintptr(h.drain), unix.F_SETPIPE_SZ, os.Getpagesize()); err != nil {
		t.Fatal(err)
	}
}

// against calls step, until it fails, while the attack goes on. That it has to do when
// the context is cancelled.
func (h *hostile) against(t *testing.T, script []byte, cancel context.CancelCauseFunc, step func() error) {
	stop := errors.New("stop")
	var err error
	ipctest.Against(func() { h.attack(script) }, func() { cancel(stop) }, func(int) bool {
		err = step()
		return err == nil
	})
	ipctest.Want(t, err, stop)
}

// FuzzHostileWriter lets a Reader receive while another process does anything to
// its slot and its FIFO.
func FuzzHostileWriter(f *testing.F) {
	f.Add([]byte{0, 0, 'a', 0, 1, 0, 2, 3, 0})                   // as it should be
	f.Add([]byte{1, 0, 0, 3, 0, 0, 0, 80, 0, 0, 3, '\n'})        // the end comes and goes
	f.Add([]byte{1, 0, 0, 0, 3, '\n', 3, 0, 0})                  // a newline, and no end
	f.Add([]byte{2, 3, 0, 4, 7, 0, 2, 0, 0})                     // tokens put and stolen
	f.Add([]byte{3, 255, 0, 3, 255, 0, 5, 3, 0, 2, 8, 0})        // a flood
	f.Add([]byte{5, 1, 0, 3, 1, 0, 3, 1, 0, 4, 1, 0, 7, 0, 0})   // a larger FIFO
	f.Add([]byte{7, 0, 0})                                       // nothing at all
	f.Add([]byte{0, 90, 0, 1, 0, 1, 2, 3, 0, 2, 4, 0, 0, 5, 13}) // malformed
	p := newPlace(f, 100)
	server := p.server(f)
	ipctest.Must(f, server.KeepOpen())
	h := p.hostile(f)
	f.Fuzz(func(t *testing.T, script []byte) {
		h.clear(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		gate, err := server.OpenReader(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer gate.Close()
		r, err := mailbox.NewReader(p.slot, gate)
		if err != nil {
			t.Fatal(err)
		}
		h.against(t, script, cancel, func() error {
			text, err := r.Receive()
			if len(text) > p.slot.Size() || bytes.ContainsAny(text, "\x00\n") {
				t.Errorf("received %q", text)
			}
			if errors.Is(err, mailbox.ErrMalformed) {
				return nil
			}
			return err
		})
	})
}

// FuzzHostileReader lets a Writer send while another process does anything.
func FuzzHostileReader(f *testing.F) {
	f.Add([]byte{4, 3, 0})                                     // as it should be
	f.Add([]byte{4, 3, 0, 2, 3, 0, 0, 0, 'x'})                 // tokens of its own
	f.Add([]byte{6, 0, 1, 4, 3, 0, 7, 0, 0, 6, 0, 0})          // takes the lock, and gives it back
	f.Add([]byte{6, 0, 1})                                     // takes the lock for good
	f.Add([]byte{5, 3, 0, 3, 1, 0, 4, 1, 0, 0, 3, 0, 1, 0, 0}) // a larger FIFO
	f.Add([]byte{7, 0, 0})                                     // nothing at all
	p := newPlace(f, 100)
	p.server(f)
	h := p.hostile(f)
	f.Fuzz(func(t *testing.T, script []byte) {
		h.clear(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		gate, err := fifo.OpenWriter(ctx, p.path, fifo.NoWait)
		if err != nil {
			t.Fatal(err)
		}
		defer gate.Close()
		w, err := mailbox.NewWriter(p.slot, gate)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		h.against(t, script, cancel, func() error {
			n++
			if err := w.Send(bytes.Repeat([]byte{'a'}, n%p.slot.Size())); err != nil {
				return err
			}
			if u := w.Undelivered(); u < 0 || u > 1 {
				t.Errorf("%d undelivered", u)
			}
			if n%3 == 0 {
				return w.Flush()
			}
			return nil
		})
	})
}
