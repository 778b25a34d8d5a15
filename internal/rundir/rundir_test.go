package rundir_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/rundir"
)

func TestDefaultIsTheUsersOwn(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/1")
	if got, want := rundir.Default(), "/run/user/1/ipcsuite"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	if got := rundir.Default(); !strings.HasPrefix(got, "/tmp/ipcsuite-") {
		t.Errorf("got %s, want a folder with the uid in /tmp", got)
	}
}

func TestOpenMakesAPrivateFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	for range 2 { // the second time it is there
		if err := rundir.Open(dir); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o700 {
		t.Errorf("mode %v, want 0700", got)
	}
}

func TestOpenAcceptsAFolderThatOnlyTheStickyBitProtects(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := unix.Chmod(dir, 0o1777); err != nil {
		t.Fatal(err)
	}
	if err := rundir.Open(dir); err != nil {
		t.Error(err)
	}
}

func TestOpenRefusesNoName(t *testing.T) {
	t.Parallel()
	if err := rundir.Open(""); err == nil || !strings.Contains(err.Error(), "--dir has no name") {
		t.Errorf("Open: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		make func(t *testing.T, dir string) error
		want string
	}{
		{"a symbolic link", func(t *testing.T, dir string) error { return os.Symlink(t.TempDir(), dir) }, "symbolic link"},
		{"a file", func(_ *testing.T, dir string) error { return os.WriteFile(dir, nil, 0o600) }, "not a folder"},
		{"a folder that others may write to", func(_ *testing.T, dir string) error {
			if err := os.Mkdir(dir, 0o700); err != nil {
				return err
			}
			return os.Chmod(dir, 0o777)
		}, "mode 0777"},
		{"another user's folder", func(t *testing.T, dir string) error {
			if os.Getuid() != 0 {
				t.Skip("only root can give a folder away")
			}
			if err := os.Mkdir(dir, 0o700); err != nil {
				return err
			}
			return os.Chown(dir, 65534, 65534)
		}, "belongs to uid 65534"},
		{"a folder in a folder that is not there", func(*testing.T, string) error { return nil }, "no such file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "dir")
			if err := tc.make(t, dir); err != nil {
				t.Fatal(err)
			}
			if tc.want == "no such file" {
				dir = filepath.Join(dir, "below")
			}
			err := rundir.Open(dir)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("got error %v, want one with %q and the folder", err, tc.want)
			}
		})
	}
}
