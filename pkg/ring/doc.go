// Package ring moves bytes between two processes through a ring in shared
// memory: one writes, one reads, and while both are at work there is no system
// call.
//
//	            Reader takes from here    Writer adds from here
//	            │                         │
//	┌───────────▼─────────────────────────▼────────────────┐
//	│ free      │ committed, to be read   │ free           │ and round again
//	└───────────┴─────────────────────────┴────────────────┘
//	            head                      tail
//
// The ring lies in a System V segment (package sysv). A FIFO (package fifo) is
// the doorbell: no data goes through it, only tokens that wake a side which
// sleeps, and its end tells each side of the other's death.
//
// What goes through is a stream of bytes ([Writer.Write], [Reader.Read], and in
// place [Writer.Reserve], [Writer.Commit], [Reader.Peek], [Reader.Discard], with
// [Writer.ReserveAfter] for several that fill it at once), or
// messages ([Writer.Send], [Reader.Receive]), which are a stream in which each is
// preceded by its length. Both sides must mean the same.
//
// # Layout, version 1
//
// All words are naturally aligned and in the byte order of the processor.
//
//	offset  bytes  word         stored by
//	     0      8  magic        Format   "ipc-ring"; stored last
//	     8      4  version      Format   1
//	    12      4  overhead     Format   640, where the data begins
//	    16      8  capacity     Format   bytes of data, up to the end of the segment
//	   128      8  tail         Writer   bytes committed since Format
//	   136      4  ended        Writer   1: nothing will follow
//	   256      8  head         Reader   bytes discarded since Format
//	   384      4  readerWaits  Reader 1, both 0
//	   512      4  writerWaits  Writer 1, both 0
//	   640      …  data
//
// Byte number i of the stream is at 640 + i mod capacity, where capacity is any
// number above 0, and not only a power of two. A message is its length in 4
// bytes, in the byte order of the processor, and then its bytes; both may
// continue at the start of the data. It is committed whole. A ring of another
// version, size or byte order, in which magic and version are other numbers, is
// refused with [ErrIncompatible].
//
// The words that different sides store are 128 bytes apart, two cache lines, and
// each side keeps the other's index as it saw it last: it looks again only when
// that says too little. So the line of an index is not fetched from the other
// processor for each message, only when a side has caught up.
//
// # Why each atomic is enough
//
// The writer fills bytes, then stores tail; the reader loads tail, then reads
// the bytes. In Go, an atomic load that sees a store is synchronised after it
// (go.dev/ref/mem), so what was written before the one is seen after the other.
// The same goes for head and the bytes that are free again. On amd64 the
// processor keeps stores in order, and loads; on arm64 the compiler uses STLR,
// which no earlier access may pass, and LDAR, which no later one may. A writer
// that is killed has either stored tail or not: what is not committed never
// appears. Each side stores its own index only and never reads it back. (On 32-bit
// MIPS, and on ARM before version 7, a 64-bit atomic of Go takes a lock that other
// processes do not see: there the ring does not work between processes.)
//
// # Why no wake-up is lost
//
// A reader that finds nothing sleeps until there is a token in the FIFO, a
// writer that finds no room until there is none: a page is all the capacity the
// FIFO has, so one token, a packet of one byte, fills it, and poll(2) tells
// (package mailbox uses the same).
//
//	Reader sleeps                        Writer, having stored tail
//	  store 1 to readerWaits               load readerWaits; if it is 1:
//	  load tail; if nothing is there:      store 0 to it
//	  wait for a token, take it            put a token, if there is none
//	  store 0 to readerWaits
//
//	Writer sleeps                        Reader, having stored head
//	  put a token, if there is none        load writerWaits; if it is 1:
//	  store 1 to writerWaits               swap 0 into it
//	  load head; if there is no room:      take the token, if there is one
//	  wait until the token is taken
//	  store 0 to writerWaits
//
// Each side stores, then loads what the other stores. Go's atomic operations are
// sequentially consistent: they have one order for all, and so at least one of
// the two loads sees the other's store. (That takes a full fence between the
// two: on amd64 XCHG, which sync/atomic stores with, is one; on arm64 an LDAR is
// not executed before an earlier STLR.) Either the one that wants to sleep sees
// the new index, or the other sees that it sleeps, and wakes it.
//
// A token may be left over from a sleep that did not come about. It makes the
// reader wake once for nothing, and look again. It cannot hide a wake-up: a token
// is there after "put", whoever put it, and who takes it looks at the ring
// afterwards. model_test.go goes through all interleavings of these steps, and
// finds the end within reach from each; it also finds that it is not when steps
// are exchanged.
//
// A process that dies between two steps leaves nothing that the other would wait
// for: the kernel closes its end of the FIFO, which ends the wait.
//
// # Death
//
// A reader whose writer has gone reads what is committed and then gets
// [io.ErrUnexpectedEOF], or [io.EOF] after [Writer.End]. A writer whose reader
// has gone gets EPIPE: a goroutine in poll(2) waits for that, so it shows also
// where there is still room, and so does the end of the context. Both show as
// soon as the kernel has ended the process; to a Reader, at the end of its spin
// ([Reader.SetSpin]). All copies of the end of the FIFO must be closed for it: a
// server that holds a second one for itself (fifo.FIFO.KeepOpen) will not learn
// that its client is gone.
//
// # A hostile other side
//
// Everyone who may write to the segment can change any word at any moment. Of
// the words, each side loads one index and the flags. An index is loaded once,
// and used only if it has moved forward, and no further than there are bytes, or
// room; otherwise the call fails with [ErrCorrupt]. Capacity and data are those of
// the mapping, compared with the header once. A flag causes one system call or none.
// A length is copied, then compared with the bytes that are there. Waits end with
// the context whatever is in the segment. So a call can fail, wait for its
// cancellation, or return bytes that nobody has sent; it reaches no other
// memory. What [Reader.Peek] returns can change while it is looked at.
//
// # Cost
//
// To send a message of 64 bytes and receive it takes 22 ns in all on one
// processor; between two, what counts is the cache lines that have to move.
// [sysv.Segment.Use] around each call would add 6.5 ns to each, more than half,
// so a side holds the segment from when it is made until Close instead.
//
// The writer takes back the cache lines that it will fill next in good time,
// several at once, instead of waiting for each when it commits.
//
// A round trip of 64 bytes takes 200 to 210 ns, both sides looking without a
// break; the same ring in C is no faster ("make peers"). A single word that goes
// to the other processor and back takes 106 to 125 ns, and a message is an index
// and then, as nothing tells of them before, its lines of data. To have the length
// in front of a message tell that it is there, instead of the index, did not pay: 64
// bytes and a length are two lines, of which the second is fetched after the first,
// as data are after the index. Two C programs, with PAUSE between two looks, took
// 175 to 190 ns so, against 137 with the index; only with 56 bytes, which leave one
// line, was it 126 against 160. PAUSE gained 3 to 9 % in Go, not enough for assembly
// for each architecture.
//
// A side that has to wait looks at the ring for 50 µs, or as SetSpin says, and
// then has package fifo look at the FIFO for 50 µs more, or as SetSpin of that end
// says, before it sleeps. On a machine with a single processor it sleeps at once.
//
// To sleep and be woken by futex(2) costs less than by FIFO: 4.5 µs there and
// back, against 6.2 µs, between two C programs on one processor. On two, most is
// the time that an idle processor takes to wake up, by either some 50 µs on the
// virtual machine used. But nothing except a store to memory ends a futex wait:
// death and cancellation would take a thread that watches for both, on each side,
// and a protocol to wake the sleeper that holds against a hostile peer. After a
// spin that fails, 1 µs is not worth it.
//
// Nothing allocates on the way of the data.
package ring
