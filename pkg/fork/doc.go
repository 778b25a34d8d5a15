// Package fork gives a Go program what other programs use fork(2) for: a child
// process that runs a part of the same program and shares open files with its
// parent.
//
// A Go program cannot call fork(2) by itself. The child would have only the
// thread that called it (fork(2), NOTES), and a Go runtime that has lost its
// other threads can neither schedule goroutines nor collect garbage. So the
// child is the same executable started again, and a role says which function
// it runs in place of main:
//
//	func main() {
//		fork.Dispatch(fork.Roles{"reader": reader}) // does not return in a child
//		…
//		child := fork.Command("reader", "some", "arguments")
//		child.ExtraFiles = []*os.File{pipe} // descriptor fork.FD(0) in the child
//		err := child.Start()
//		…
//	}
//
//	func reader(ctx context.Context, args []string) int { … }
//
// # The same as after fork
//
// A descriptor named in ExtraFiles, Stdin, Stdout or Stderr refers in the child
// to the same open file description as in the parent, because os/exec is itself
// fork, dup2 and execve, and none of these opens the file anew. Parent and child
// share the file offset, the status flags (O_NONBLOCK, O_APPEND, a pipe's
// O_DIRECT) and flock(2) locks; kcmp(2) with KCMP_FILE reports the two
// descriptors as equal. A pipe delivers end of file when the last descriptor of
// its write end is closed, so a parent that gave an end away closes its own.
//
// The environment, the working directory, the process group and the session are
// inherited as well.
//
// # Different from fork
//
// Memory is not copied, not even on write: execve(2) replaces the address
// space, and the child starts with freshly initialised variables. What the role
// needs to know comes as arguments or through a descriptor.
//
// Descriptors are inherited by name only. Go opens everything close-on-exec, so
// the child has the three standard descriptors and those in ExtraFiles, and
// [Dispatch] marks the latter close-on-exec again: a grandchild gets what it is
// given, and no forgotten copy of a write end holds back end of file.
//
// # Blocking mode
//
// O_NONBLOCK belongs to the open file description too, so it cannot differ
// between parent and child. Up to and including Go 1.26, starting a command calls
// [os.File.Fd] on each file it passes, and Fd clears O_NONBLOCK on files that
// package os had set to it, which are those from os.Pipe and os.OpenFile that
// the runtime can poll. From then on, a read in the parent occupies a thread, and
// neither Close nor a deadline interrupts it. A descriptor that was already
// non-blocking when it was wrapped by os.NewFile stays so, on both sides.
//
// # Signals and the end of a child
//
// A child does not outlive its parent. When the parent dies, by whatever cause,
// the kernel sends SIGTERM to the child (PR_SET_PDEATHSIG in prctl(2)). The role's
// context is then cancelled, and a process whose role has not returned one second
// later is ended.
//
// While the parent lives, SIGTERM, SIGINT and SIGHUP do nothing in the child. They
// come from a terminal, from timeout(1) or from kill(1) to the whole process group.
// The parent gets them as well, and it knows in which order to stop. To stop one
// child, close its pipe or kill it (SIGKILL always works).
//
// The kernel already sends the parent-death signal when the thread that created
// the child exits, and Go ends a thread when a goroutine returns that is still
// locked to it ([runtime.LockOSThread]). This does no harm here: the child takes
// the signal for its parent's death only when getppid(2) no longer returns the
// parent.
//
// Two gaps remain. The kernel clears the parent-death signal in a program that is
// set-user-ID or has file capabilities, and in a process that changes its user or
// group id. And the handlers are in place from [Dispatch] on: a signal to the group
// in the few milliseconds before that ends the child by default action.
package fork
