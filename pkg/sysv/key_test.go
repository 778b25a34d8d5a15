package sysv

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestKeyIsMadeOfItsParts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		parts KeyParts
		want  Key
	}{
		{"project, device, inode from high to low", KeyParts{ProjID: 0x12, Dev: 0x34, Ino: 0x5678}, 0x12345678},
		{"only the low 8 bits of the project id", KeyParts{ProjID: 306, Dev: 1, Ino: 1}, 0x32010001},
		{"a negative project id", KeyParts{ProjID: -2, Dev: 1, Ino: 1}, -0x01feffff},
		{"only the low 8 bits of the device", KeyParts{ProjID: 1, Dev: 0xfe01, Ino: 1}, 0x01010001},
		{"only the low 16 bits of the inode", KeyParts{ProjID: 1, Dev: 1, Ino: 0xabcd_ffff_0002}, 0x01010002},
		{"project id 256 counts as 0", KeyParts{ProjID: 256, Dev: 1, Ino: 1}, 0x00010001},
	} {
		if got, err := test.parts.Key(); got != test.want || err != nil {
			t.Errorf("%s: got %v, %v, want %v", test.name, got, err, test.want)
		}
	}
}

func TestKeyThatWouldBePrivateIsRefused(t *testing.T) {
	t.Parallel()
	parts := KeyParts{Path: "/srv", ProjID: 256, Dev: 0xfe00, Ino: 0x510000}
	if key, err := parts.Key(); !errors.Is(err, unix.EINVAL) {
		t.Errorf("got key %v, error %v, want EINVAL", key, err)
	}
}

func TestFtokUsesTheFileBehindASymlink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	file := filepath.Join(dir, "file")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Symlink(file, link)); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		t.Fatal(err)
	}
	want := Key('s'<<24 | uint32(unix.Minor(uint64(st.Dev))&0xff)<<16 | uint32(st.Ino&0xffff))
	for _, path := range []string{file, link} {
		if got, err := Ftok(path, 's'); got != want || err != nil {
			t.Errorf("Ftok(%s) = %v, %v, want %v", path, got, err, want)
		}
	}
}

func TestFtokNeedsAFileThatExists(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nothing")
	_, err := Ftok(path, 1)
	var pathErr *fs.PathError
	if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &pathErr) || pathErr.Path != path {
		t.Errorf("got %v, want a PathError with ENOENT and %s", err, path)
	}
}

// The article has it that ftok gives a unique key.
func TestProjectIDs306And50MeetInOneSegment(t *testing.T) {
	t.Parallel()
	dir, k306 := newFolder(t, 306)
	k50, err := Ftok(dir, 50)
	if err != nil {
		t.Fatal(err)
	}
	mine := create(t, k306, 1, 0o600)
	if _, err := Create(k50, 1, 0o600); !errors.Is(err, unix.EEXIST) {
		t.Errorf("Create with project id 50: %v, want EEXIST", err)
	}
	yours, err := Open(k50, 0)
	if err != nil {
		t.Fatal(err)
	}
	if yours.ID() != mine.ID() {
		t.Errorf("project ids 306 and 50 give segments %d and %d, want the same", mine.ID(), yours.ID())
	}
}

func TestFilesWhoseInodesAgreeInTheLow16BitsCollide(t *testing.T) {
	t.Parallel()
	one := KeyParts{Path: "/a", ProjID: 1, Dev: 0xfe01, Ino: 0x1d687}
	two := KeyParts{Path: "/b", ProjID: 1, Dev: 0x0801, Ino: 0x2d687}
	k1, err1 := one.Key()
	k2, err2 := two.Key()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if k1 != k2 {
		t.Errorf("keys %v and %v, want the same", k1, k2)
	}
}

// FuzzKey checks the sum against the definition of glibc's ftok(3), and what is
// said of it.
func FuzzKey(f *testing.F) {
	f.Add("/tmp", 306, uint64(0x801), uint64(1<<40))
	f.Add("", 0, uint64(0), uint64(0))
	f.Add("a\nb", -1, uint64(1<<63), uint64(0xffff))
	f.Add("/", 256, uint64(0x100), uint64(0x10000)) // all that counts is 0
	f.Fuzz(func(t *testing.T, path string, projID int, dev, ino uint64) {
		parts := KeyParts{Path: path, ProjID: projID, Dev: dev, Ino: ino}
		want := Key(int32(uint32(ino%(1<<16)) + uint32(dev%(1<<8))*(1<<16) + uint32(uint8(projID))*(1<<24)))
		key, err := parts.Key()
		if key != want || (err == nil) != (want != Private) {
			t.Errorf("%+v make %v, %v, want %v", parts, key, err, want)
		}
		if text := parts.String(); strings.Contains(text, "\n") || !strings.Contains(text, want.String()) {
			t.Errorf("explained as %q", text)
		}
	})
}
