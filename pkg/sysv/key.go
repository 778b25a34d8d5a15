package sysv

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Key is the number under which processes find the same segment (key_t).
type Key int32

// Private is not a key that can be found: [Create] makes a new segment for it
// every time, which others open by id (IPC_PRIVATE).
const Private Key = unix.IPC_PRIVATE

// String returns the key as ipcs(1) prints it, 0x and eight hexadecimal digits.
func (k Key) String() string { return fmt.Sprintf("0x%08x", uint32(k)) }

// Ftok makes a key from an existing file and a number, with the same result as
// glibc's ftok(3). Symbolic links are followed. The content of the file does
// not matter, but its inode does: a file that is deleted and made anew has, as
// a rule, another key, and so has the same path on another container's file
// system.
//
// Only the low 8 bits of projID count. POSIX wants them not to be 0; Linux does
// not mind, and nor does Ftok unless the whole key comes out as [Private], which
// would make segments nobody else can find: that is EINVAL. Errors of stat(2)
// come as *fs.PathError.
func Ftok(path string, projID int) (Key, error) {
	parts, err := PartsOf(path, projID)
	if err != nil {
		return Private, err
	}
	return parts.Key()
}

// KeyParts is what [Ftok] makes a key from. Its String explains the sum.
type KeyParts struct {
	Path   string
	ProjID int
	Dev    uint64 // st_dev, as stat(2) encodes it: the low 8 bits are those of the minor number
	Ino    uint64 // st_ino
}

// PartsOf looks up the parts of the key that [Ftok] would return.
func PartsOf(path string, projID int) (KeyParts, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return KeyParts{}, fmt.Errorf("ftok takes the key from an existing file, the same for all sides: %w", err)
	}
	st := fi.Sys().(*syscall.Stat_t)
	return KeyParts{Path: path, ProjID: projID, Dev: uint64(st.Dev), Ino: uint64(st.Ino)}, nil
}

// Key puts the parts together: 8 bits of the project id, 8 of the device, 16 of
// the inode, from high to low. The rest is dropped, so different parts can have
// one key. EINVAL when the key would be [Private].
func (p KeyParts) Key() (Key, error) {
	k := p.sum()
	if k == Private {
		return Private, fmt.Errorf("%v, which is IPC_PRIVATE and cannot be shared: %w; use a project id whose low 8 bits are not 0", p, unix.EINVAL)
	}
	return k, nil
}

func (p KeyParts) sum() Key {
	return Key(uint32(p.ProjID&0xff)<<24 | uint32(p.Dev&0xff)<<16 | uint32(p.Ino&0xffff))
}

// String shows what each part contributes to the key and which of its bits are
// ignored, on one line.
func (p KeyParts) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "ftok(%q, %d) is %v", p.Path, p.ProjID, p.sum())
	part := func(sep, name string, v uint64, bits int) {
		low := v & (1<<bits - 1)
		fmt.Fprintf(&b, "%s%s %#x gives 0x%0*x", sep, name, v, bits/4, low)
		if v != low {
			fmt.Fprintf(&b, " (%#x ignored)", v-low)
		}
	}
	part(": ", "project id", uint64(p.ProjID), 8)
	part(", ", "device", p.Dev, 8)
	part(", ", "inode", p.Ino, 16)
	return b.String()
}
