package limits

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/fork"
	"example.com/ipcsuite/pkg/pipe"
	"example.com/ipcsuite/pkg/sysv"
)

// roles are what children do, most of them until their stdin ends. Those that fail
// say so and exit with 1.
var roles = fork.Roles{
	"flock":    role(keepLocked),
	"presence": role(pretendPresence),
	"listen":   role(listen),
	"segment":  role(makeSegment),
	"swap":     role(swap),
	"create":   role(createOften),
	"hoard":    role(hoard),
	"watch":    role(watch),
	"count":    role(count),
	"forbid":   role(forbid),
	"pin":      role(pin),
	"touch":    role(touch),
}

func role(do func(args []string) error) fork.Role {
	return func(_ context.Context, args []string) int {
		if err := do(args); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
}

// untilEOF says a word, and returns when stdin has ended.
func untilEOF(word string) {
	fmt.Println(word)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// keepLocked PATH keeps a file or folder locked.
func keepLocked(args []string) error {
	file, err := os.OpenFile(args[0], os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	untilEOF("locked")
	return file.Close()
}

// pretendPresence FOLDER puts the record lock there by which fifo tells that a
// FIFO is served, for all FIFOs.
func pretendPresence(args []string) error {
	file, err := os.Open(args[0])
	if err != nil {
		return err
	}
	lock := unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		return err
	}
	untilEOF("locked")
	return file.Close()
}

// listen PATH makes a FIFO for everybody and says in the end what came.
func listen(args []string) error {
	unix.Umask(0)
	if err := unix.Mkfifo(args[0], 0o666); err != nil {
		return err
	}
	fd, err := unix.Open(args[0], unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	untilEOF("listening")
	buf := make([]byte, fifo.Atomic)
	n, err := unix.Read(fd, buf)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		return err
	}
	fmt.Printf("heard %q\n", buf[:max(n, 0)])
	return unix.Unlink(args[0])
}

// makeSegment KEY OWNER makes a segment for everybody, gives it away, and says in
// the end what is in it.
func makeSegment(args []string) error {
	key, err1 := strconv.ParseInt(args[0], 0, 64)
	owner, err2 := strconv.ParseUint(args[1], 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	s, err := sysv.Create(sysv.Key(key), 4096, 0o666)
	if err != nil {
		return err
	}
	defer s.Remove()
	if err := s.Attach(); err != nil {
		return err
	}
	if owner != uint64(os.Geteuid()) {
		var d unix.SysvShmDesc
		if _, err := unix.SysvShmCtl(s.ID(), unix.IPC_STAT, &d); err != nil {
			return err
		}
		d.Perm.Uid = uint32(owner)
		if _, err := unix.SysvShmCtl(s.ID(), unix.IPC_SET, &d); err != nil {
			return err
		}
	}
	untilEOF("made")
	text := make([]byte, 4096)
	if _, err := s.ReadAt(text, 0); err != nil {
		return err
	}
	if text[0] == 0 {
		fmt.Println("holds nothing")
	} else {
		fmt.Printf("holds %q\n", text[:16])
	}
	return nil
}

// swap PATH TARGET FIFO replaces the draft folder in which Create makes the FIFO for
// PATH, as soon as it is there: by a folder of its own, by a link to the folder
// TARGET, and by another name of FIFO; and puts these at PATH too. On the one
// processor that it has in common with the other side, which has just caused the
// event that wakes it, it often comes first.
func swap(args []string) error {
	path, target, other := args[0], args[1], args[2]
	dir, base := filepath.Split(path)
	draft, mine := dir+"."+base+".new", dir+"mine"
	if err := pinThread(); err != nil {
		return err
	}
	watch, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return err
	}
	if _, err := unix.InotifyAddWatch(watch, dir, unix.IN_CREATE|unix.IN_ONLYDIR); err != nil {
		return err
	}
	unix.Umask(0)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println("swapping")
	puts := []func() error{
		func() error { return os.Mkdir(mine, 0o777) },
		func() error { return os.Symlink(target, mine) },
		func() error { return os.Link(other, mine) },
		func() error { return unix.Mkfifo(mine, 0o666) },
	}
	var events [4096]byte
	for i := 0; ; i++ {
		// Each can fail, as the other side is at work too.
		_ = puts[i%len(puts)]()
		for there := false; !there; {
			if _, err := unix.Read(watch, events[:]); err != nil && !errors.Is(err, unix.EINTR) {
				return err
			}
			there = unix.Access(draft, unix.F_OK) == nil
		}
		_ = unix.Rename(draft, fmt.Sprintf("%staken%d", dir, i))
		_ = unix.Rename(mine, []string{draft, path}[i/len(puts)%2])
		_ = os.RemoveAll(mine)
	}
}

// createOften PATH N makes a FIFO that often, each time looking whether what it then
// serves is the one it wanted.
func createOften(args []string) error {
	n, err := strconv.Atoi(args[1])
	if err := errors.Join(err, pinThread()); err != nil {
		return err
	}
	refused := 0
	for range n {
		f, err := fifo.Create(never, args[0], fifo.Options{Mode: 0o640})
		if err != nil {
			refused++
			// Make room for the next.
			_ = os.Remove(args[0])
			_ = os.Remove(filepath.Join(filepath.Dir(args[0]), ".fifo.new"))
			continue
		}
		for fd := 3; fd < 64; fd++ {
			var st unix.Stat_t
			if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
				continue
			}
			if st.Uid != uint32(os.Geteuid()) || st.Mode&0o7777 != 0o640 {
				return fmt.Errorf("serves a FIFO of uid %d with mode %04o", st.Uid, st.Mode&0o7777)
			}
		}
		if err := f.Remove(); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	fmt.Println("tried", n)
	fmt.Fprintln(os.Stderr, "refused", refused)
	return nil
}

// hoard takes all the memory for pipes that its user can have.
func hoard([]string) error {
	if err := takePipes(); err != nil {
		return err
	}
	untilEOF("full")
	return nil
}

// watch takes all the inotify(7) instances that its user can have.
func watch([]string) error {
	for {
		_, err := unix.InotifyInit1(unix.IN_CLOEXEC) // open until the process ends
		if err == nil {
			continue
		}
		if _, noDescriptor := unix.Eventfd(0, unix.EFD_CLOEXEC); noDescriptor != nil || !errors.Is(err, unix.EMFILE) {
			return errors.Join(err, noDescriptor)
		}
		untilEOF("full")
		return nil
	}
}

const largePipe = 1 << 20

// takePipes makes pipes as large as can be until the user may have no more. They
// stay until the process ends.
func takePipes() error {
	for range 4096 {
		r, w, err := pipe.New(0)
		if err != nil {
			return err
		}
		hoarded = append(hoarded, r, w)
		if _, err := pipe.SetCapacity(int(w.Fd()), largePipe); errors.Is(err, unix.EPERM) {
			// The rest, in pipes of the default capacity.
			if n, err := pipe.Capacity(int(w.Fd())); err != nil || n == 2*os.Getpagesize() {
				return err
			}
		} else if err != nil {
			return err
		}
	}
	return errors.New("pipes do not come to an end: is fs.pipe-user-pages-soft 0?")
}

var hoarded []*os.File // kept from being closed by the garbage collector

// count PATH counts what is in a large FIFO, when the copy that it takes for that
// has to be small.
func count(args []string) error {
	f, err := fifo.Create(never, args[0], fifo.Options{})
	if err != nil {
		return err
	}
	defer f.Remove()
	if _, err := f.SetCapacity(largePipe); err != nil {
		return err
	}
	w, err := fifo.OpenWriter(never, args[0], fifo.NoWait)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := takePipes(); err != nil {
		return err
	}
	n, err := f.Pending()
	fmt.Println("of none", n, err)
	for range 100 {
		if _, err := w.Write([]byte("message")); err != nil {
			return err
		}
	}
	n, err = f.Pending()
	fmt.Println("of 100", n, errors.Is(err, unix.EPERM))
	buf := make([]byte, fifo.Atomic)
	for range 99 {
		if _, err := f.TryRead(buf); err != nil {
			return err
		}
	}
	n, err = f.Pending()
	fmt.Println("of 1", n, err)
	return nil
}

// forbid ERRNO COMMAND ... is the command under a seccomp(2) filter, by which
// kcmp(2) fails with that number.
func forbid(args []string) error {
	errno, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	const loadNumber = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS // at offset 0 of struct seccomp_data
	filter := []unix.SockFilter{
		{Code: loadNumber},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 0, Jf: 1, K: unix.SYS_KCMP},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return err
	}
	return become(args[1:])
}

// pin COMMAND ... is the command on one processor alone, always the same.
func pin(args []string) error {
	if err := pinThread(); err != nil {
		return err
	}
	return become(args)
}

// pinThread keeps the caller on one thread, and that on the first processor that it
// may use, which in a container need not be 0.
func pinThread() error {
	runtime.LockOSThread()
	var allowed, first unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return err
	}
	cpu := 0
	for !allowed.IsSet(cpu) {
		cpu++
	}
	first.Set(cpu)
	return unix.SchedSetaffinity(0, &first)
}

// touch CGROUP KEY BYTES makes a segment of that size, in a control group, and
// writes to all of it.
func touch(args []string) error {
	if err := os.WriteFile(filepath.Join(args[0], "cgroup.procs"), []byte("0"), 0); err != nil {
		return err
	}
	key, err1 := strconv.ParseInt(args[1], 0, 64)
	size, err2 := strconv.Atoi(args[2])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	s, err := sysv.Create(sysv.Key(key), size, 0o600)
	if err != nil {
		return err
	}
	defer s.Remove()
	if err := s.Attach(); err != nil {
		return err
	}
	fmt.Println("made")
	for at := 0; at < size; at += os.Getpagesize() {
		if _, err := s.WriteAt([]byte{1}, int64(at)); err != nil {
			return err
		}
	}
	untilEOF("touched")
	return nil
}

// become is execve(2), from this thread, whose filter and affinity the program
// gets.
func become(args []string) error {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	return unix.Exec(path, args, os.Environ())
}
