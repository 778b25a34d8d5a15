// Package sysv is System V shared memory: segments of memory that unrelated
// processes map into their own address spaces, so that what one stores the
// others load, with no system call in between. The chapter in
// shm-server/README.md shows by commands what is said here.
//
// # A segment's life
//
// [Create] makes a segment (shmget(2)) and [Open] finds it from another
// process. Neither gives access to the bytes: that takes [Segment.Attach]
// (shmat(2)), which maps the segment into the mmap area of the address space,
// where /proc/PID/maps shows it as /SYSV followed by the key in hexadecimal,
// with the segment's id in the inode column. [Segment.Detach] (shmdt(2)) takes
// the mapping away again, and so do exit(2) and execve(2), however the process
// came to its end.
//
// The segment itself belongs to the IPC namespace and not to any process: it
// stays, contents and all, when nobody is attached, until somebody calls
// [Segment.Remove] or the namespace ends, which for the host's namespace means
// a reboot and for a container's means the end of the container. (An
// administrator can ask for tidier rules with the sysctl
// kernel.shm_rmid_forced.) A server that was killed therefore leaves its
// segment behind. [List] shows what there is, as ipcs -m does, and ipcrm -m
// removes by hand.
//
// Remove, shmctl(2) with IPC_RMID, does not pull memory from under anyone. A
// segment in use is marked: it loses its key at once, so that no newcomer can
// open it and the key is free for a new segment, while those attached go on
// sharing it. It is destroyed when the last of them detaches. A server that
// creates, waits for its peer to attach and then removes can thus leave nothing
// behind, whatever happens to it later.
//
// # Key and id
//
// A segment has two numbers. The key is agreed on beforehand, usually as the
// path of a file and a small number that [Ftok] boils down to 32 bits, and
// serves only to find the segment. The kernel chooses the id, and every later
// call takes that. It contains a sequence number, so that the id of a removed
// segment is reported as stale for a long time and does not lead to a stranger's
// (for a long time only: the number wraps in the end). Segments made with
// [Private] have no key: whoever is to share one must be told the id, for
// [OpenID].
//
// Keys collide, because ftok throws most of the inode number away. Always
// create with [Create], which asks for a new segment and gets EEXIST when the
// key is taken, and see [KeyParts] for an account of how a key came about.
//
// # Size
//
// The kernel hands out whole pages but remembers the size that was asked for. A
// segment of 4097 bytes has [Info.Size] 4097 and takes two pages of memory,
// 8192 bytes where a page is 4096. No memory is taken before a page is first
// touched, which is when it is filled with zeros; [Info.Resident] counts the
// pages that were. What the kernel needs to keep track of it, an inode, a
// descriptor and page tables in every process, is not counted. This package lets
// no one reach beyond the size, though the last page goes on. The size never
// changes, so an attached segment, unlike a mapped file, cannot be cut short by
// another process.
//
// # What the others can do
//
// Everyone with write permission can change any byte at any moment, also
// between two looks at it. Copy what is going to be checked with
// [Segment.ReadAt], check the copy, and use the copy; believe no length, offset
// or terminator that stands in the segment. The lock inside a [Segment] keeps
// this process's mapping in place, and orders nothing between readers and
// writers: that is the business of the protocol on top, such as package mailbox
// or ring.
//
// Anyone can create a segment under a guessable key before the rightful server
// does. A client that cares opens, attaches, and then asks [Info.OwnedBy]; in
// this order, because an attached segment cannot be destroyed and its id
// cannot come to mean another one.
//
// # Errors
//
// Errors carry the kernel's errno, so errors.Is finds unix.EEXIST, unix.ENOENT,
// unix.EACCES and so on, and through them fs.ErrExist, fs.ErrNotExist and
// fs.ErrPermission. The text goes on to say why, as far as /proc can tell: who
// holds the key, what the mode is, which limit was hit. What it tells was read
// after the call had failed, and may have changed by then.
//
// No call of this package blocks on another process, so none takes a context.
// Attach and Detach wait for this process's own calls on the same Segment.
package sysv
