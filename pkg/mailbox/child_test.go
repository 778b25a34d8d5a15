package mailbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/fork"
	"example.com/ipcsuite/pkg/internal/ipctest"
	"example.com/ipcsuite/pkg/mailbox"
	"example.com/ipcsuite/pkg/sysv"
)

func TestMain(m *testing.M) { ipctest.Main(m, roles) }

// roles are what a child process can do at one end of a mailbox. Having come
// back from there, it says "ready" and goes on to live until it is killed or
// its stdin ends, and with it all that it has open.
var roles = fork.Roles{
	// has sent its arguments
	"writer": role(func(slot *sysv.Segment, path string, args []string) error {
		w, _, err := openWriter(context.Background(), slot, path)
		for i := 0; err == nil && i < len(args); i++ {
			err = w.Send([]byte(args[i]))
		}
		return err
	}),
	// has the lock, and has written a text and no token
	"half writer": role(func(slot *sysv.Segment, path string, args []string) error {
		_, gate, err := openWriter(context.Background(), slot, path)
		if err != nil {
			return err
		}
		_, err = slot.WriteAt([]byte(args[0]), 0)
		return errors.Join(err, gate.Lock())
	}),
	// has sent "NAME 0 ...", "NAME 1 ..." and so on, and has seen them taken
	"counter": role(func(slot *sysv.Segment, path string, args []string) error {
		w, _, err := openWriter(context.Background(), slot, path)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(args[1])
		for i := 0; err == nil && i < n; i++ {
			err = w.Send(countedText(args[0], i))
		}
		return errors.Join(err, w.Flush())
	}),
	// has made the FIFO and received that many texts
	"reader": role(func(slot *sysv.Segment, path string, args []string) error {
		r, _, err := childReader(slot, path)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(args[0])
		for ; err == nil && n > 0; n-- {
			_, err = r.Receive()
		}
		return err
	}),
	// has made the FIFO, has copied a text and has not taken the token
	"half reader": role(func(slot *sysv.Segment, path string, _ []string) error {
		_, gate, err := childReader(slot, path)
		if err != nil {
			return err
		}
		_, err = slot.ReadAt(make([]byte, slot.Size()), 0)
		return errors.Join(err, gate.Await())
	}),
	// receives until there are no more writers
	"drain": role(func(slot *sysv.Segment, path string, _ []string) error {
		f, err := fifo.Create(context.Background(), path, fifo.Options{})
		if err != nil {
			return err
		}
		gate, err := f.OpenReader(context.Background())
		if err != nil {
			return err
		}
		r, err := mailbox.NewReader(slot, gate)
		for err == nil {
			_, err = r.Receive()
		}
		if !errors.Is(err, io.EOF) {
			return err
		}
		return nil
	}),
}

func countedText(name string, i int) []byte {
	return fmt.Appendf(nil, "%s %d %s", name, i, strings.Repeat("x", i%700))
}

func childReader(slot *sysv.Segment, path string) (*mailbox.Reader, *fifo.Reader, error) {
	f, err := fifo.Create(context.Background(), path, fifo.Options{})
	if err != nil {
		return nil, nil, err
	}
	if err := f.KeepOpen(); err != nil {
		return nil, nil, err
	}
	gate, err := f.OpenReader(context.Background())
	if err != nil {
		return nil, nil, err
	}
	r, err := mailbox.NewReader(slot, gate)
	return r, gate, err
}

// role makes a role of what a child does at a segment, attached, and the path of a FIFO.
func role(do func(slot *sysv.Segment, path string, args []string) error) fork.Role {
	return ipctest.Role(func(args []string) error {
		slot, err := ipctest.OpenSegment(args[0])
		if err != nil {
			return err
		}
		if err := do(slot, args[1], args[2:]); err != nil {
			return err
		}
		fmt.Println("ready")
		ipctest.StdinEnds()
		return nil
	})
}

// child starts a process in the given role.
func (p *place) child(tb testing.TB, role string, args ...string) *ipctest.Child {
	tb.Helper()
	return ipctest.Run(tb, role, append([]string{strconv.Itoa(p.slot.ID()), p.path}, args...)...)
}
