// Package rundir finds the folder in which the binaries meet, and refuses one
// in which another user could stand in the way.
package rundir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

// Flag is --dir.
func Flag() cli.Flag {
	return &cli.StringFlag{Name: "dir", Value: Default(), Usage: "the `folder` in which server and client meet"}
}

// Default is $XDG_RUNTIME_DIR/ipcsuite, else /tmp/ipcsuite-UID: a folder that
// is the user's own in either case.
func Default() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "ipcsuite")
	}
	return fmt.Sprintf("/tmp/ipcsuite-%d", os.Getuid())
}

// Path returns the path that the flag of that name gives, and otherwise file in
// --dir, which it opens.
func Path(c *cli.Context, flag, file string) (string, error) {
	if path := c.String(flag); path != "" {
		return path, nil
	}
	dir := c.String("dir")
	return filepath.Join(dir, file), Open(dir)
}

// Open makes dir, with mode 0700, where it does not exist, and checks that it
// is a folder of the caller's own in which nobody else can replace files: it
// must not be a symbolic link, nor writable by others without the sticky bit.
//
// The name could still be moved if the folder above it were another user's;
// /tmp, with its sticky bit, and $XDG_RUNTIME_DIR keep others from that.
func Open(dir string) error {
	if dir == "" {
		return errors.New("--dir has no name: give it that of a folder")
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		return fmt.Errorf("make folder: %w: name another with --dir", err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return fmt.Errorf("folder %s: %w", dir, os.NewSyscallError("lstat", err))
	}
	refuse := func(why string) error {
		return fmt.Errorf("folder %s: %s: name another with --dir", dir, why)
	}
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		return refuse("it is a symbolic link")
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return refuse("it is not a folder")
	case st.Uid != uint32(os.Geteuid()):
		return refuse(fmt.Sprintf("it belongs to uid %d, not to you (uid %d)", st.Uid, os.Geteuid()))
	case st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0:
		return refuse(fmt.Sprintf("others may write to it (mode %04o) and it has no sticky bit; chmod go-w would do", st.Mode&0o7777))
	}
	return nil
}
