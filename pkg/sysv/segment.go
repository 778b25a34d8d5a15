package sysv

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"golang.org/x/sys/unix"
)

// A Segment is this process's handle on one shared memory segment, and holds at
// most one mapping of it. [Create], [Open] and [OpenID] return it detached.
//
// All methods may be called from several goroutines at once. The handle has no
// Close: a detached one holds nothing, and an attached one is given up with
// Detach, without which the mapping stays until the process ends. A child
// process does not inherit it, since Go starts children with execve(2).
type Segment struct {
	id   int
	key  Key
	size int

	mu       sync.RWMutex // shared while mem is in use, exclusive to map and unmap
	mem      []byte       // nil when detached
	readOnly bool
}

var (
	_ io.ReaderAt = (*Segment)(nil)
	_ io.WriterAt = (*Segment)(nil)
)

// Create makes a new segment of size bytes, all zero, and fails if the key is
// taken (shmget(2) with IPC_CREAT|IPC_EXCL). With [Private] it always makes a
// new one. The segment gets exactly the permissions perm: the umask does not
// apply to it. Of perm, only read and write bits mean anything, and a segment
// without read permission cannot be attached at all.
//
// The errors are EEXIST; EINVAL when the size is below 1 or above SHMMAX, or
// perm has more than permission bits; ENOSPC when the namespace has SHMMNI
// segments or SHMALL pages already; ENOMEM. Limits are described in
// proc_sys_kernel(5).
func Create(key Key, size int, perm fs.FileMode) (*Segment, error) {
	op := fmt.Sprintf("create segment of %d bytes with key %v", size, key)
	if size < 1 {
		return nil, fmt.Errorf("%s: %w: a segment has at least 1 byte", op, unix.EINVAL)
	}
	if perm&^fs.ModePerm != 0 {
		return nil, fmt.Errorf("%s: %w: mode %v has more than the permission bits 0777", op, unix.EINVAL, perm)
	}
	id, err := unix.SysvShmGet(int(key), size, unix.IPC_CREAT|unix.IPC_EXCL|int(perm))
	if err != nil {
		return nil, callError(op, "shmget", err, whyNotCreated(err, key, size))
	}
	return &Segment{id: id, key: key, size: size}, nil
}

// Open finds the segment with the given key, which must have at least size
// bytes; 0 accepts any size (shmget(2)). It asks for read permission, which
// every way to attach needs; whether writing is allowed shows in
// [Segment.Attach].
//
// The errors are ENOENT, EACCES, and EINVAL when the segment is smaller than
// size. The key [Private] is EINVAL: a segment without key is opened by
// [OpenID].
func Open(key Key, size int) (*Segment, error) {
	op := fmt.Sprintf("open segment with key %v", key)
	if key == Private {
		// shmget would make a new segment, even without IPC_CREAT.
		return nil, fmt.Errorf("%s: %w: IPC_PRIVATE finds nothing, open the segment by its id", op, unix.EINVAL)
	}
	if size < 0 {
		return nil, fmt.Errorf("%s: %w: size %d is negative, 0 accepts any", op, unix.EINVAL, size)
	}
	// Without IPC_CREAT, the mode bits are the permissions asked for. With
	// none, shmget hands the id to anyone.
	id, err := unix.SysvShmGet(int(key), size, 0o444)
	if err != nil {
		return nil, callError(op, "shmget", err, whyNotOpened(err, key, size))
	}
	s, err := OpenID(id)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EIDRM) {
		// To whom waits for a server, that is the same as if it had gone before.
		return nil, callError(op, "shmctl IPC_STAT", unix.ENOENT, "it was removed meanwhile")
	}
	return s, err
}

// OpenID finds the segment with the given id (shmctl(2) with IPC_STAT), also
// one that has been removed and is still attached somewhere. The errors are
// EINVAL when there is none (any more), EIDRM when it goes during the call, and
// EACCES.
func OpenID(id int) (*Segment, error) {
	if int(int32(id)) != id {
		// The kernel would look at the lower half, which may be another's id.
		return nil, fmt.Errorf("open segment %d: %w: an id has 31 bits", id, unix.EINVAL)
	}
	info, err := stat(id)
	if err != nil {
		return nil, err
	}
	return &Segment{id: id, key: info.Key, size: int(info.Size)}, nil
}

// ID returns the segment's identifier in its IPC namespace (shmid).
func (s *Segment) ID() int { return s.id }

// Key returns the key the segment had when it was created or opened.
func (s *Segment) Key() Key { return s.key }

// Size returns the number of bytes that were asked for at creation, which is
// what can be read and written.
func (s *Segment) Size() int { return s.size }

// Attach maps the segment for reading and writing (shmat(2)). It fails with
// [ErrAttached] when this Segment is attached already, EACCES when the mode
// does not permit both, EINVAL or EIDRM when the segment is gone, and ENOMEM
// when no room is left in the address space.
func (s *Segment) Attach() error { return s.attach(0) }

// AttachReadOnly is [Segment.Attach] without the right to write, for which the
// mode need only permit reading.
func (s *Segment) AttachReadOnly() error { return s.attach(unix.SHM_RDONLY) }

func (s *Segment) attach(flags int) error {
	op := fmt.Sprintf("attach segment %d", s.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mem != nil {
		return fmt.Errorf("%s: %w", op, ErrAttached)
	}
	mem, err := unix.SysvShmAttach(s.id, 0, flags)
	if err != nil {
		return callError(op, "shmat", err, whyNotReached(err, s.id))
	}
	if len(mem) != s.size {
		// Ids are used again once their sequence numbers have wrapped, and
		// callers rely on Size.
		_ = unix.SysvShmDetach(mem)
		return fmt.Errorf("%s: %w: it was removed, and its id now means a segment of %d bytes instead of %d", op, unix.EIDRM, len(mem), s.size)
	}
	s.mem, s.readOnly = mem, flags&unix.SHM_RDONLY != 0
	return nil
}

// Detach unmaps the segment (shmdt(2)), after waiting for running calls of
// ReadAt, WriteAt and Use. From then on they return [ErrDetached], and so does a
// second Detach. Attach may follow.
func (s *Segment) Detach() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mem == nil {
		return s.detached("detach")
	}
	mem := s.mem
	s.mem = nil
	if err := unix.SysvShmDetach(mem); err != nil {
		return callError(fmt.Sprintf("detach segment %d", s.id), "shmdt", err, "something else unmapped it")
	}
	return nil
}

// ReadAt copies len(p) bytes from offset off into p, or as many as there are
// before the end, and then returns io.EOF as [io.ReaderAt] asks. It returns
// [ErrDetached], and [ErrRange] for a negative offset. It does not allocate.
//
// The copy is not atomic: a writer in this process or another may be half-way.
func (s *Segment) ReadAt(p []byte, off int64) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case s.mem == nil:
		return 0, s.detached("read")
	case off < 0:
		return 0, fmt.Errorf("read segment %d at offset %d: %w", s.id, off, ErrRange)
	case len(p) == 0:
		return 0, nil
	case off >= int64(len(s.mem)):
		return 0, io.EOF
	}
	n := copy(p, s.mem[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt copies p into the segment at offset off. What does not fit is refused
// whole with [ErrRange], and not a byte of it is written. It also returns
// [ErrDetached] and [ErrReadOnly]. It does not allocate.
//
// The copy is not atomic: a reader in this process or another may see half of
// it.
func (s *Segment) WriteAt(p []byte, off int64) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case s.mem == nil:
		return 0, s.detached("write")
	case s.readOnly:
		return 0, fmt.Errorf("write segment %d: %w", s.id, ErrReadOnly)
	case off < 0 || off > int64(len(s.mem)) || int64(len(p)) > int64(len(s.mem))-off:
		return 0, fmt.Errorf("write %d bytes at offset %d of segment %d, which has %d: %w", len(p), off, s.id, len(s.mem), ErrRange)
	}
	return copy(s.mem[off:], p), nil
}

// Use calls fn with the segment's memory, [Segment.Size] bytes, and returns
// fn's error, or [ErrDetached] without calling it. It is for protocols that
// work in place. Several calls may run at once.
//
// The memory is fn's only until fn returns; used later, it may be gone and
// crash the program. Detach waits for fn, so fn must not call methods of s that
// attach, detach, read or write, nor Use, which could wait for each other. When
// s is attached read-only, a store to the memory is a fault that crashes the
// program: recover does not catch it.
func (s *Segment) Use(fn func(mem []byte) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.mem == nil {
		return s.detached("use")
	}
	return fn(s.mem)
}

// Stat asks the kernel about the segment (shmctl(2) with IPC_STAT), which takes
// read permission but no attachment. Resident and Swapped are left 0: only
// [List] has them. The errors are EACCES, and EINVAL or EIDRM when the segment
// is gone.
func (s *Segment) Stat() (Info, error) { return stat(s.id) }

// Remove marks the segment for destruction (shmctl(2) with IPC_RMID). It loses
// its key now and its memory when the last process detaches; those attached,
// this Segment included, are not disturbed, and until then Linux lets those who
// know its id attach. Only owner, creator and holders of CAP_SYS_ADMIN may remove,
// whatever the mode says: others get EPERM. EINVAL or EIDRM mean that it is gone
// already.
func (s *Segment) Remove() error {
	if _, err := unix.SysvShmCtl(s.id, unix.IPC_RMID, nil); err != nil {
		return callError(fmt.Sprintf("remove segment %d", s.id), "shmctl IPC_RMID", err, whyNotReached(err, s.id))
	}
	return nil
}

func (s *Segment) detached(verb string) error {
	return fmt.Errorf("%s segment %d: %w", verb, s.id, ErrDetached)
}
