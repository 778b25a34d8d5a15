package main

import "example.com/ipcsuite/internal/finding"

// features are what kind of thing a pipe is, and how processes come to share it.
func (t trial) features() []finding.Experiment {
	return []finding.Experiment{
		{
			Name:     "byte-stream",
			Did:      "A writer makes writes of 5 and 3 bytes, and a reader one read; then one write of 8 bytes, and two reads with room for 4",
			Expected: "one read returns all 8 bytes; the other write comes out in two halves",
			Why:      "a pipe is a stream of bytes and keeps no record of where one write ended and the next began",
			See:      t.see(byteStream),
		},
		{
			Name:     "packet-mode",
			Did:      "The same two writes of 5 and 3 bytes into a pipe made with O_DIRECT; then packets of 1 byte until no more go in",
			Expected: "reads of 5 and of 3 bytes, although there is room for 100; as many packets as the pipe has pages, 16 in 65536 bytes",
			Why:      "with O_DIRECT on the write end each write of up to 4096 bytes takes a page of its own, and a read returns one page's packet",
			See:      t.see(packetMode),
		},
		{
			Name:     "atomic",
			Did:      "Four writers, all asleep on a full pipe at once, make 64 writes of 4096 bytes (PIPE_BUF) each while a reader drains it; then, in a pipe of one page, two writers make one write of 32768 bytes each",
			Expected: "every write of 4096 bytes comes out whole; each of the larger two comes out in pieces, with the other's between them",
			Why:      "the kernel waits until a write of up to PIPE_BUF bytes fits and puts it in at one go; a larger one goes in page by page as room is made, and other writers get their turn in between",
			See:      t.see(atomicWrites),
		},
		{
			Name:     "capacity",
			Did:      "A writer fills a pipe of the default capacity, one of which 20000 bytes are asked for with fcntl(F_SETPIPE_SZ), and one of which 1 byte is, with a non-blocking write of 1048576 bytes",
			Expected: "F_GETPIPE_SZ and the number of bytes that went in are equal: whole pages, a power of two of them, at least one",
			Why:      "the capacity belongs to the pipe, not to a process; anyone who holds an end may set it up to /proc/sys/fs/pipe-max-size, and the kernel rounds up",
			See:      t.see(capacities),
		},
		{
			Name:     "one-way",
			Did:      "A process that holds both ends writes to the read end and reads from the write end",
			Expected: "EBADF both times, and nothing in the pipe",
			Why:      "on Linux one end is open for reading only and the other for writing only: for an answer one needs a second pipe",
			See:      t.see(oneWay),
		},
		{
			Name:     "no-backing-file",
			Did:      "A writer puts 5 bytes into a pipe, and fstat(2), fstatfs(2) and /proc are asked where they are",
			Expected: "a FIFO on pipefs, which is mounted nowhere, of size 0 and 0 blocks, whose only name is pipe:[inode]",
			Why:      "the bytes are in pages of the kernel's memory that belong to no file on any disk, and there is no path by which somebody could open them",
			See:      t.see(noBackingFile),
		},
		{
			Name:     "lifetime",
			Did:      "A writer puts 5 bytes into a pipe, closes and exits; a reader reads, and closes its end, the last",
			Expected: "the pipe and its bytes outlive the writer; with the last descriptor closed it cannot be opened any more, not even through /proc/PID/fd",
			Why:      "a pipe lives as long as any process holds a descriptor of it; a process that exits closes its own, so a pipe ends with its processes but not with any particular one",
			See:      t.see(lifetime),
		},
		{
			Name:     "shared-description",
			Did:      "A child inherits the read end, and this process opens the same pipe a second time through /proc/self/fd; O_NONBLOCK is then set on the inherited one",
			Expected: "by kcmp(2) the child's descriptor is the very open file description of this process, so the flag shows in both; the second open has the same inode but is a description of its own, without the flag",
			Why:      "inheriting copies the table of descriptors, whose entries go on pointing to the same struct file; every open(2) makes a new struct file, even of the same pipe",
			See:      t.see(sharedDescription),
		},
		{
			Name:     "memory",
			Did:      "A process and its child both map a page that holds the letter o: privately, that is copy-on-write, and shared; the one writes p to its private page and s to the shared one",
			Expected: "its private page is the file's until the write and its own after it (bit 61 in /proc/self/pagemap goes from 1 to 0); the child still sees o there, and s in the shared page",
			Why:      "memory that is copied on write is common only while nobody writes, so it carries no messages: processes need something that belongs to neither (what fork(2) does to all memory, MAP_PRIVATE does here to a page, as Go has no bare fork and execve(2) gives the child new memory)",
			See:      t.see(memory),
		},
		{
			Name:     "passing",
			Did:      "One process is sent the write end of a pipe through a Unix socket (SCM_RIGHTS), and another opens it through /proc/PID/fd of this process; neither has inherited anything of it; each writes 5 bytes",
			Expected: "both have no descriptor of the pipe at first, and one then; by kcmp(2) the one that was sent is the open file description of this process, and the other a new one; a reader gets 10 bytes",
			Why:      "to be related is only the usual way to get hold of a descriptor: any process may be given one, and whoever may look into a process may open what it has open",
			See:      t.see(passing),
		},
		{
			Name:     "exec",
			Did:      "A process that holds the read end of a pipe with 5 bytes in it, and a page of memory in which it has put a letter, calls execve(2) with the program that it runs already",
			Expected: "the process and the descriptor stay, and it reads the 5 bytes; the page is in /proc/PID/maps before, and not after",
			Why:      "execve(2) throws away the whole address space, code and data, and maps a program into an empty one, so there is nothing left that could be copied on write; what the kernel keeps for a process stays, such as its id and the descriptors that are not close-on-exec",
			See:      t.see(execution),
		},
		{
			Name:     "go-sigpipe",
			Did:      "A Go program without a handler of its own for SIGPIPE writes to a pipe whose reader has gone, through descriptor 3, and then through descriptor 2, its standard error",
			Expected: "EPIPE, and then death by signal 13 (SIGPIPE)",
			Why:      "the Go runtime catches SIGPIPE, and lets write(2) fail; only for descriptors 1 and 2, so that Go programs end in shell pipelines as others do, it then kills itself with the signal",
			See:      t.see(goSIGPIPE),
		},
	}
}
