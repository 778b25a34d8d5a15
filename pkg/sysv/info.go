package sysv

import (
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// Info is what the kernel knows about a segment. User and group ids are those
// of the caller's user namespace and pids those of its pid namespace.
type Info struct {
	ID         int
	Key        Key         // Private when it has none or was removed
	Size       int64       // bytes asked for at creation
	Perm       fs.FileMode // permission bits
	UID, GID   uint32      // owner
	CUID, CGID uint32      // creator, who has the owner's rights for good
	Attached   int         // how many mappings there are, in all processes (nattch)
	CreatorPID int         // 0 when not visible from here
	LastPID    int         // last to attach or detach; 0 when there was none

	AttachTime time.Time // last attach, to the second; zero when there was none
	DetachTime time.Time // last detach, likewise
	ChangeTime time.Time // creation or last change of owner or mode

	Resident int64 // bytes of memory in use, whole pages; from List only
	Swapped  int64 // bytes swapped out; from List only

	Marked bool // removed, to be destroyed at the last detach (SHM_DEST)
	Locked bool // not to be swapped out (SHM_LOCKED)
}

// OwnedBy reports whether uid is both owner and creator. The owner alone proves
// nothing: a creator can give the segment away with IPC_SET and keeps full
// access to it. Others may still be able to write, see Perm.
func (i Info) OwnedBy(uid int) bool {
	return int64(i.UID) == int64(uid) && int64(i.CUID) == int64(uid)
}

// String describes the segment in half a line, for messages.
func (i Info) String() string {
	return fmt.Sprintf("shmid %d, key %v, %d bytes, mode %04o, owner uid %d, %d attached, made by pid %d",
		i.ID, i.Key, i.Size, uint32(i.Perm), i.UID, i.Attached, i.CreatorPID)
}

// Bits that the kernel adds to the permissions in shm_perm.mode.
const (
	shmDest   = 0o1000
	shmLocked = 0o2000
)

func (i *Info) setMode(mode uint32) {
	i.Perm = fs.FileMode(mode) & fs.ModePerm
	i.Marked = mode&shmDest != 0
	i.Locked = mode&shmLocked != 0
}

func stat(id int) (Info, error) {
	var d unix.SysvShmDesc
	if _, err := unix.SysvShmCtl(id, unix.IPC_STAT, &d); err != nil {
		return Info{}, callError(fmt.Sprintf("stat segment %d", id), "shmctl IPC_STAT", err, whyNotReached(err, id))
	}
	i := Info{
		ID:         id,
		Key:        Key(d.Perm.Key),
		Size:       int64(d.Segsz),
		UID:        d.Perm.Uid,
		GID:        d.Perm.Gid,
		CUID:       d.Perm.Cuid,
		CGID:       d.Perm.Cgid,
		Attached:   int(d.Nattch),
		CreatorPID: int(d.Cpid),
		LastPID:    int(d.Lpid),
		AttachTime: when(int64(d.Atime)),
		DetachTime: when(int64(d.Dtime)),
		ChangeTime: when(int64(d.Ctime)),
	}
	i.setMode(uint32(d.Perm.Mode))
	return i, nil
}

// when turns a time of the kernel's, where 0 means never, into Go's.
func when(sec int64) time.Time {
	if sec == 0 {
		return time.Time{}
	}
	return time.Unix(sec, 0)
}
