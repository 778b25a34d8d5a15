// Package mailbox passes texts through shared memory, one at a time, with a
// FIFO as the gate that says whose turn it is. The chapter in
// shm-server/README.md shows what goes wrong without such a gate.
//
//	Writer                                               Reader
//
//	1 wait until the FIFO is empty (POLLOUT)             1 wait for a token (POLLIN)
//	2 text, NUL  ───▶  segment, offset 0: "hello\0"  ──▶ 2 copy the text out
//	3 token      ───▶  FIFO: [4 bytes] or empty      ──▶ 3 read the token
//
// The slot is a System V segment (package sysv), and a text in it ends at the
// first NUL byte. A token is 4 bytes in the FIFO (package fifo), whose value
// does not matter: it says that the slot is full. The capacity of the FIFO is
// set to one page, so that a single token, written in packet mode, fills it,
// and poll(2) on the write end says POLLOUT exactly when no token is there.
//
// Several writers take turns: each holds the FIFO's flock(2) while it looks once
// more, writes its text and its token. That takes microseconds; the waiting is
// done before, without the lock. There is one reader.
//
// # Why nothing is overwritten unread, and nothing read twice
//
// A token is in the FIFO from when a text is complete until it has been copied,
// since the writer writes it last and the reader takes it last. A writer stores
// to the slot only after it has seen, under the lock, that no token is there;
// none can come meanwhile, as it takes the lock to write one. So a slot is
// never written to while its text is unread. The reader copies only when a
// token is there, and takes that token, so for each text it copies once.
//
// A process that dies leaves no state that would have to be repaired. A writer
// killed before its token has written to a slot that was free and still is; its
// lock goes with it. A reader killed before it has taken the token has left the
// text in place, where [Writer.Undelivered] counts it; with [Reader.Peek] it
// leaves it there until it has dealt with it. The other side learns of the death
// from poll(2): POLLHUP without POLLIN is [io.EOF] to the reader, POLLERR is EPIPE
// to the writer.
//
// # Who is at the other end
//
// The wire format is that of the C++ programs this suite is modelled on, and
// they can be at either end; but they lack a part of the protocol, and what it
// prevents remains possible. Their client neither waits for the slot to be free
// nor takes the lock, so it overwrites texts that are still unread, or being
// read: [Reader.Lost] counts those whose tokens met in the FIFO, which is not
// all. It also writes its token before the NUL, over the newline of the line
// that it has read from its input, and therefore a text ends at a newline too: that
// client's text is complete up to there when the token comes. Of several lines
// that it has read at once, only the first is a text. Their server takes the
// token before it looks at the slot, which can then hold the next text, or half
// of it.
//
// Every process that may write to the segment may do so at any moment. The Reader copies
// each byte once and looks only at the copy; the worst that it returns is a text
// that nobody has sent.
//
// # Cost
//
// System calls for each text, of a side that does not have to wait:
//
//	Receive          poll, read
//	Peek, Free       poll, ioctl (FIONREAD), read
//	Send             poll, flock, poll, write, flock
//
// A side that waits repeats poll(2) for some microseconds before it sleeps, on the thread
// that called and not in the Go runtime's poller: between two processors a text then
// takes a third of the time. Neither Receive nor Send allocates.
//
// Closing is the business of whoever opened: a Reader and a Writer hold nothing
// but the segment and the FIFO end they were given. Cancelling the context of the
// FIFO end ends every call.
package mailbox
