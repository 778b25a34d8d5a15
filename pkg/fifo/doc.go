// Package fifo makes named pipes, opens them without hanging, and sends messages
// through them. The chapter in fifo-server/README.md shows by commands what is said
// here.
//
// # What a FIFO is
//
// A FIFO is a pipe with a name (fifo(7)). The name is an inode in a file system:
// owner, mode, times, no size and no blocks. The data is in the kernel's memory,
// in a pipe that comes into being when the inode is opened first and is gone, with
// all that is in it, when it is closed last. Two processes that open one FIFO have
// an open file description each, and kcmp(2) says that they differ; what they
// share is the inode and through it the one pipe. A descriptor inherited across
// fork(2) is different: it refers to the same description.
//
// Once it is open, a FIFO is a pipe in every respect, so package pipe describes it
// too: its slots, and packet mode in detail.
//
// # Made and served
//
// [Create] makes the FIFO, and the [FIFO] it returns holds a read end. So there
// are two states of a FIFO: one that a process reads is alive, and another server
// is refused with the process's id; one that nobody reads was left by a server
// that had no time to remove it, and is replaced. It is replaced by another inode,
// so that a client that outlived the dead server still has its pipe and can say
// what was lost in it.
//
// Whether a FIFO is alive cannot be found out by opening it: a server that waits
// for its first client takes any open for writing for one, and a client that waits
// for a server any open for reading. [Live] therefore looks at two
// things that disturb nobody: the descriptors that /proc shows, and a record lock
// (F_OFD_SETLK) that Create puts on the FIFO's folder, which also tells of servers
// of other users and in other containers. The kernel takes the lock away with the
// process.
//
// Whoever sees the FIFO at its path can use it at once. It is made in a folder into
// which nobody else can reach, opened and given its mode, which is the one that was
// asked for whatever the umask, and only then moved.
//
// # Messages
//
// A pipe is a stream of bytes: one read can return two quick writes, or only part of
// a large one. A [Writer] switches its end to packet mode (pipe(2),
// O_DIRECT), and then each write of up to [Atomic] bytes is one packet, which one
// read returns whole. Nothing is added to the data, so a program that has never
// heard of packets can be at the other end, with open(2), read(2) and write(2).
//
// Of several readers each message goes to one, whichever comes first. Every reader
// must offer at least Atomic bytes, or the kernel cuts the packet to what the
// reader has offered and says nothing. There is no empty packet.
//
// A writer without packet mode at the same FIFO spoils this. Its bytes are a
// stream, and a packet behind them is joined to them, in the pipe or in the read:
// what exceeds the reader's buffer is lost. [SharedReader] has a buffer in which
// all fits.
//
// # Waiting
//
// open(2) on a FIFO blocks until the other end is open too, which nothing can
// cancel. [OpenReader] and [OpenWriter] wait as well, but until their context is
// done:
//
//   - OpenReader opens the read end without blocking, and learns by inotify(7)
//     that somebody has opened the FIFO, and by tee(2), which takes nothing, that
//     it was a writer. A writer that has come, written and left is not missed.
//   - OpenWriter lets a thread block in open(2), as there is no other way to meet
//     another program's server that blocks in open(2) too. When another FIFO takes
//     the place of this one, it waits for that.
//
// Afterwards the context ends the waits of the [Reader] or the Writer, and so does
// Close. Both wait in poll(2) on the FIFO and an eventfd(2). The descriptors are
// not given to the runtime's poller.
//
// A wait that can be ended has its price, two system calls more for each message
// that is waited for: a read that finds nothing, and poll. On one processor a round
// trip of 64 bytes takes 8.2 µs; the same loop in C takes 6.8 µs, and one in C that
// blocks in read(2) 5.3 µs. On two it is the other way round, 4.1 µs against 42 µs,
// since Await spins for a while before it sleeps, and the other side answers within
// that time ("make peers").
//
// # Several reader processes
//
// poll(2) wakes everybody. With three processes asleep in it on one FIFO each
// message wakes all three, of which one gets it and two find nothing: 1,000,000
// messages took about 2.0 s, against 1.05 s with three processes asleep in
// read(2), where the kernel wakes one, on the 2-core machine used. So
// [SharedReader] sleeps in read(2), on a descriptor that the processes inherit from
// the server ([FIFO.Shared]), and as nothing else ends that sleep,
// [FIFO.StopReaders] sends each a message that ends it.
//
// # Leaving
//
// A reader gets the end of file when every write end is closed, in all processes,
// and what was in the pipe has been read. A server that is to outlive its clients
// holds one itself ([FIFO.KeepOpen]).
//
// A writer gets EPIPE when every read end is closed. The SIGPIPE that comes
// with it is caught by the Go runtime, which ends the process only for a write
// through package os to descriptor 1 or 2.
//
// A Write that succeeds has put the message into the kernel's memory, and somebody
// had the FIFO open for reading; it has not been read yet. If all readers leave
// before that, it is lost. [Writer.Unread] tells how many are in that state,
// exactly where there is one Writer, and still after the last reader has left. So
// a client that at its end calls [Writer.PeerGone] and Unread knows how many of its
// messages no process has taken. Whether a message that was taken was also dealt
// with, only an answer can tell.
package fifo
