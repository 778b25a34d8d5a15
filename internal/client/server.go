package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/pkg/fifo"
)

// Server is the server to be found, and how long to wait for it.
type Server struct {
	Name string // of its binary
	Path string // of its FIFO
	Wait time.Duration
	// Quiet says not to tell that there is a wait.
	Quiet bool
	// Own says that the FIFO is to be the caller's, as in a --dir.
	Own bool
}

// Flags are --wait and --quiet.
func Flags() []cli.Flag {
	return []cli.Flag{
		&cli.DurationFlag{Name: "wait", Usage: "how long to wait for a server"},
		&cli.BoolFlag{Name: "quiet", Usage: "no prompt, no progress, no notices"},
	}
}

// ServerOf returns the server of that name to which the flags lead. find returns the path
// of its FIFO, which flag can name.
func ServerOf(c *cli.Context, name, flag string, find func(*cli.Context) (string, error)) (Server, error) {
	wait := c.Duration("wait")
	if wait < 0 {
		return Server{}, command.UsageErrorf("--wait %v: want a time from now on, such as 5s", wait)
	}
	path, err := find(c)
	return Server{Name: name, Path: path, Wait: wait, Quiet: c.Bool("quiet"), Own: c.String(flag) == ""}, err
}

// Open opens the server's FIFO, whose Writer is then bound to ctx, and refuses one
// that somebody else could have put there to read what is sent.
func (s Server) Open(ctx context.Context, log *command.Log) (*fifo.Writer, error) {
	w, err := s.open(ctx, log)
	if err != nil {
		return nil, err
	}
	if err := s.mustBeTrusted(w); err != nil {
		_ = w.Close() // never fails
		return nil, err
	}
	return w, nil
}

// Live returns the processes that serve the FIFO, as far as they can be seen, and fails if
// there are none. It does not open the FIFO, so nobody takes the caller for a peer.
func (s Server) Live() (pids []int, err error) {
	err = fifo.Live(s.Path)
	var live *fifo.LiveError
	switch {
	case errors.As(err, &live):
		return live.PIDs, nil
	case err == nil:
		return nil, fmt.Errorf("FIFO %s: no process serves it: start %s", s.Path, s.Name)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: start %s", err, s.Name)
	}
	return nil, err
}

// mustBeTrusted looks at who made the FIFO. In a folder to which everybody may
// write, as /tmp, that can be anybody, and must be the caller or the folder's
// owner: it is the rule of fs.protected_fifos (proc_sys_fs(5)), which the kernel
// applies only to open(2) with O_CREAT. Elsewhere, who may write to the folder is
// for the user to know who has named the path.
func (s Server) mustBeTrusted(w *fifo.Writer) error {
	owner, err := w.Owner()
	if err != nil {
		return err
	}
	if owner == os.Geteuid() {
		return nil
	}
	if s.Own {
		return fmt.Errorf("FIFO %s belongs to uid %d, not to you (uid %d): %w: nothing was sent: to send to another user, give the path itself instead of --dir",
			s.Path, owner, os.Geteuid(), unix.EPERM)
	}
	dir, _ := filepath.Split(s.Path)
	dir = cmp.Or(dir, ".")
	var folder unix.Stat_t
	if err := unix.Stat(dir, &folder); err != nil {
		return fmt.Errorf("folder %s: %w", dir, os.NewSyscallError("stat", err))
	}
	if folder.Mode&0o002 != 0 && owner != int(folder.Uid) {
		return fmt.Errorf("FIFO %s belongs to uid %d, and in %s anybody can make one and read what you send: %w: nothing was sent: let %s make it in a folder that only its user may write to",
			s.Path, owner, dir, unix.EPERM, s.Name)
	}
	return nil
}
