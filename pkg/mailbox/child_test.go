package mailbox_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/mailbox"
	"example.com/ipcsuite/pkg/sysv"
)

// roles are what a child process can do at one end of a mailbox. Having come
// back from there, it says "ready" and goes on to live until it is killed or
// its stdin ends, and with it all that it has open.
var roles = map[string]func(slot *sysv.Segment, path string, args []string) error{
	// has sent its arguments
	"writer": func(slot *sysv.Segment, path string, args []string) error {
		w, _, err := openWriter(context.Background(), slot, path)
		for i := 0; err == nil && i < len(args); i++ {
			err = w.Send([]byte(args[i]))
		}
		return err
	},
	// has the lock, and has written a text and no token
	"half writer": func(slot *sysv.Segment, path string, args []string) error {
		_, gate, err := openWriter(context.Background(), slot, path)
		if err != nil {
			return err
		}
		_, err = slot.WriteAt([]byte(args[0]), 0)
		return errors.Join(err, gate.Lock())
	},
	// has sent "NAME 0 ...", "NAME 1 ..." and so on, and has seen them taken
	"counter": func(slot *sysv.Segment, path string, args []string) error {
		w, _, err := openWriter(context.Background(), slot, path)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(args[1])
		for i := 0; err == nil && i < n; i++ {
			err = w.Send(countedText(args[0], i))
		}
		return errors.Join(err, w.Flush())
	},
	// has made the FIFO and received that many texts
	"reader": func(slot *sysv.Segment, path string, args []string) error {
		r, _, err := childReader(slot, path)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(args[0])
		for ; err == nil && n > 0; n-- {
			_, err = r.Receive()
		}
		return err
	},
	// has made the FIFO, has copied a text and has not taken the token
	"half reader": func(slot *sysv.Segment, path string, _ []string) error {
		_, gate, err := childReader(slot, path)
		if err != nil {
			return err
		}
		_, err = slot.ReadAt(make([]byte, slot.Size()), 0)
		return errors.Join(err, gate.Await())
	},
	// receives until there are no more writers
	"drain": func(slot *sysv.Segment, path string, _ []string) error {
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
	},
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

type child struct {
	cmd *exec.Cmd
	in  io.Closer
	out *bufio.Reader
}

const childEnv = "MAILBOX_TEST_CHILD"

// child starts a process in the given role.
func (p *place) child(tb testing.TB, role string, args ...string) *child {
	tb.Helper()
	exe, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(exe, args...) // killed at the end of the test
	// The race detector would sleep for a second at the end of each process.
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0",
		fmt.Sprintf("%s=%q %d %q", childEnv, role, p.slot.ID(), p.path))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	c := &child{cmd, in, bufio.NewReader(out)}
	tb.Cleanup(c.kill)
	return c
}

// awaitReady blocks until the child has done what its role says.
func (c *child) awaitReady(tb testing.TB) {
	tb.Helper()
	if line, err := c.out.ReadString('\n'); line != "ready\n" {
		tb.Fatalf("child said %q, %v", line, err)
	}
}

// kill is kill -9, and returns when the process is gone.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may have ended
	_ = c.cmd.Wait()
}

func TestMain(m *testing.M) {
	arg, isChild := os.LookupEnv(childEnv)
	if !isChild {
		os.Exit(m.Run())
	}
	if err := runChild(arg); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
}

func runChild(arg string) error {
	var role, path string
	var id int
	if _, err := fmt.Sscanf(arg, "%q %d %q", &role, &id, &path); err != nil {
		return err
	}
	slot, err := sysv.OpenID(id)
	if err != nil {
		return err
	}
	if err := slot.Attach(); err != nil {
		return err
	}
	if err := roles[role](slot, path, os.Args[1:]); err != nil {
		return err
	}
	if _, err := unix.Write(1, []byte("ready\n")); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
