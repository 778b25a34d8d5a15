// Package pipe creates pipes, sizes them, switches them to packet mode and moves
// data through them without a copy to user space. Each function is one system
// call or two, named in its documentation. The chapter in
// pipe-demo/README.md shows by experiment how pipes behave.
//
// A FIFO is a pipe with a name, and works the same once it is open (pipe(7)), so
// all functions but [New] take the descriptor of either. They take a number, not
// an [os.File], because programs that care about these details hold numbers. For
// a file made by New, int(f.Fd()) is that number and has no side effect.
//
// All functions may be called concurrently, on the same descriptor too. Errors
// wrap the kernel's, so that errors.Is(err, unix.EPERM) works, and name what to
// do about it.
//
// # Slots
//
// A pipe is a ring of slots with one page of memory behind each, 16 by default
// (fs/pipe.c in the kernel's source). Its capacity in bytes is the number of slots
// times the page size, and the ring is full when no slot is free, however little
// there is in each:
//
//   - A stream write goes on in the last slot if all of it fits there, or else
//     takes new slots. Writes of 4096 bytes fill a default pipe at 65536 bytes,
//     writes of 3000 bytes at 48000.
//   - A packet takes a slot of its own. A default pipe holds 16 of one byte.
//
// poll(2) reports a write end writable when a slot is free. A pipe set to a single
// page is therefore writable exactly when it is empty.
//
// # Packet mode
//
// A pipe is a byte stream: two writes can come out of one read, and one write out
// of two reads. Packet mode keeps writes apart (pipe(2), O_DIRECT): each write of
// up to [Atomic] bytes is returned whole by one read, of which only one reader
// gets it, without any framing bytes.
//
//   - A longer write becomes several packets, one for each page.
//   - A read with a buffer shorter than the packet discards the rest, silently. A
//     buffer of Atomic bytes is enough.
//   - There are no empty packets: writing no bytes does nothing.
//
// The mode is a status flag of the open file description of the write end. All
// descriptors that were duplicated or inherited share it, while another open of the
// same FIFO has its own. It is looked at for each write, so what is in the pipe
// already stays as it was written. The read end has no part in it.
//
// # Packets behind a stream
//
// Writers in packet mode and writers without it must not share a pipe. What
// follows was seen on Linux 6.18 and is checked by this package's tests:
//
//   - A packet written while the last slot holds the bytes of a stream write, and
//     with room left in that page, is appended to it. The kernel asks whether the
//     slot may be added to, and not whether the writer wants a slot of its own. The
//     packet has become part of the stream.
//   - Where it does not fit in the page and stays a packet, a read that starts
//     with the stream's bytes goes on into the packet. What exceeds the reader's
//     buffer is then discarded, though no read was too short for the packet.
//
// A stream write behind a packet does no harm. So a pipe may be switched to packet
// mode when it is empty, and switched back at any time.
//
// # Cost
//
// On the virtual machine used, with two processors (BenchmarkWriteRead,
// BenchmarkOneWay, "make peers"):
//
//   - Packet mode costs nothing by itself: a write of 64 bytes and the read that
//     returns them take 0.95 µs, with it and without. But to another process, one
//     way, it was 1.35 µs a message against 1.0, as one read takes one packet where
//     of a stream it takes all there is, and as 16 packets fill the pipe. With
//     1 MiB, which is 256 packets, it was 1.2 µs.
//   - A pipe larger than the default gains little for bulk data: writes of 64 KiB
//     take 28 µs with 1 MiB and 30 µs with 64 KiB. A pipe of one page takes 500 µs,
//     as each page then is a change of process.
//   - A round trip of 64 bytes between two threads that block takes 5.8 µs on one
//     processor, against 4.9 µs of the same loop in C. Of the difference, 0.26 µs
//     are four calls of which the Go scheduler is told before and after. It has to
//     be: a thread that it believes to be running Go code, and that sleeps in the
//     kernel, holds up the garbage collector. Between two processors both take some
//     40 µs, nearly all of it for an idle processor to wake up.
package pipe
