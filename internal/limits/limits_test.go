package limits

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/internal/suitetest"
	"example.com/ipcsuite/pkg/fork"
)

// Each limit from none on is tried until the binary does its work: how many it needs
// depends on the machine too, as the Go runtime keeps some of its cgroup's files open.
func TestDescriptorsRunOut(t *testing.T) {
	t.Parallel()
	const waits, noServer = "in another terminal", "give it time with --wait"
	for _, c := range []struct {
		command string
		works   string // on stderr
		code    int
	}{
		{"fifo-server --keep-alive", waits, 128 + int(unix.SIGTERM)},
		{"shm-server", waits, 128 + int(unix.SIGTERM)},
		{"fifo-client hello", noServer, 1},
		{"shm-client hello", noServer, 1},
		{"pipe-demo --count 1 --explain", "⇒", 0},
	} {
		t.Run(c.command, func(t *testing.T) {
			t.Parallel()
			for n := 0; ; n++ {
				dir := suitetest.Dir(t)
				// The shell needs some itself, until it has become the binary.
				cmd := shell(`ulimit -n $1; shift; exec "$@"`, append([]string{fmt.Sprint(n)}, strings.Fields(c.command)...)...)
				cmd.Args[5], _ = exec.LookPath(cmd.Args[5])
				p := suitetest.StartCmd(t, dir, cmd).EOF()
				says := func(words string) bool {
					return p.Stderr.Await(time.After(suitetest.Limit), func(text []byte) bool { return strings.Contains(string(text), words) })
				}
				if says(waits) {
					_ = p.Cmd.Process.Signal(unix.SIGTERM) // its readers may have found no descriptors, and it has ended
				}
				if !says("too many open files") {
					if text := p.Exit(c.code); !strings.Contains(text, c.works) || n == 0 {
						t.Errorf("with %d:\n%s", n, text)
					}
					suitetest.Clean(t, dir, p)
					return
				}
				text := p.Exit(1)
				suitetest.Contains(t, text, fmt.Sprintf("this process may have %d: allow more with ulimit -n", n))
				if strings.Contains(text, "goroutine") || strings.Count(text, "Error") != 1 {
					t.Errorf("with %d: want one line of error:\n%s", n, text)
				}
				suitetest.Clean(t, dir, p)
			}
		})
	}
}

// The kernel has the same word for it as for descriptors that have run out.
func TestInotifyRunsOut(t *testing.T) {
	needRoot(t)
	t.Parallel()
	const user = hoarder + 2
	startRole(t, user, "full", "watch")
	dir := folder(t, user, 0o700)
	for _, args := range [][]string{{"fifo-client", "--wait", "1m", "hello"}, {"shm-client", "--wait", "1m", "hello"}, {"fifo-server"}, {"shm-server"}} {
		p := suitetest.StartCmd(t, dir, as(user, exec.Command(args[0], args[1:]...)))
		stderr := p.Ends(1)
		suitetest.Contains(t, stderr, "/proc/sys/fs/inotify/max_user_instances allows")
		if strings.Contains(stderr, "ulimit") {
			t.Errorf("the wrong limit is blamed:\n%s", stderr)
		}
		suitetest.Clean(t, dir, p)
	}
}

// A user who has more pipes than fs.pipe-user-pages-soft gets new ones of two pages,
// and cannot enlarge any.
func TestMemoryForPipesRunsOut(t *testing.T) {
	needRoot(t)
	t.Parallel()
	startRole(t, hoarder, "full", "hoard")
	dir := folder(t, hoarder, 0o700)
	binary := func(args ...string) *exec.Cmd {
		return as(hoarder, with(args, "--dir", dir))
	}
	const lines = 2000
	input := func(client *exec.Cmd) *exec.Cmd {
		return as(hoarder, shell(`seq 1 `+fmt.Sprint(lines)+` | "$@"`, client.Args...))
	}
	for _, pair := range []string{"fifo", "shm"} {
		t.Run(pair+" goes on", func(t *testing.T) {
			out := transfer(t, dir, binary(pair+"-server"), input(binary(pair+"-client")))
			for n := 1; n <= lines; n++ {
				if !strings.Contains(out, fmt.Sprint(n, "\n")) {
					t.Fatalf("line %d is missing of what was printed", n)
				}
			}
		})
	}
	t.Run("a capacity that was asked for is refused", func(t *testing.T) {
		run(t, 1, binary("fifo-server", "--pipe-size", "1048576"),
			"set capacity of FIFO", "to 1048576 bytes", "/proc/sys/fs/pipe-user-pages-soft", "ask for less")
		suitetest.Clean(t, dir)
	})
	t.Run("pipe-demo says what it could not do", func(t *testing.T) {
		run(t, 0, as(hoarder, exec.Command("pipe-demo", "--interval", "1ms")))
		out := run(t, 1, as(hoarder, exec.Command("pipe-demo", "facts", "packet-mode", "capacity")))
		suitetest.Contains(t, out, "fact packet-mode: PASS", "2 packets of 1 byte filled", "fact capacity: FAIL", "/proc/sys/fs/pipe-user-pages-soft")
	})
	// What --pipe-size above the machine's limit says is another thing.
	run(t, 1, binary("fifo-server", "--pipe-size", "1073741824"), "/proc/sys/fs/pipe-max-size is")
	suitetest.Clean(t, dir)
}

// The messages in a FIFO are counted in a copy, which takes pipe memory too.
func TestMessagesAreCountedWithoutMemoryForPipes(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := folder(t, hoarder+1, 0o700)
	out := run(t, 0, as(hoarder+1, fork.Command("count", filepath.Join(dir, "fifo"))))
	var least int
	if n, err := fmt.Sscanf(out, "of none 0 <nil>\nof 100 %d true\nof 1 1 <nil>\n", &least); n != 1 || err != nil || least < 1 || least >= 100 {
		t.Errorf("said %q: %v", out, err)
	}
}

// inNamespaces makes a command one of root's with namespaces of its own.
func inNamespaces(flags uintptr, cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: flags}
	return cmd
}

func TestSegmentsRunOut(t *testing.T) {
	needRoot(t)
	t.Parallel()
	for limit, want := range map[string]string{
		"shmmni": "SHMMNI, the number of segments, is 0 (sysctl kernel.shmmni)",
		"shmall": "SHMALL, the pages in all segments together, is 0 (sysctl kernel.shmall)",
		"shmmax": "SHMMAX, the largest size of a segment, is 0 bytes (sysctl kernel.shmmax)",
	} {
		t.Run(limit, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, 0, 0o700)
			run(t, 1, inNamespaces(unix.CLONE_NEWIPC,
				shell(`echo 0 >/proc/sys/kernel/$1; exec shm-server --dir "$2"`, limit, dir)), want, "create segment of 4096 bytes with key 0x")
			suitetest.Clean(t, dir)
		})
	}
}

func TestFileSystemIsFullOrReadOnly(t *testing.T) {
	needRoot(t)
	t.Parallel()
	for what, mount := range map[string]struct{ script, error, advice string }{
		"full":      {`mount -t tmpfs -o mode=755,nr_inodes=2 none "$1"; touch "$1/last"`, "no space left on device", "(df -i DIR/; df DIR/): make room, or choose another folder"},
		"read-only": {`mount -t tmpfs -o mode=755,ro none "$1"`, "read-only file system", "choose a folder on another file system"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, 0, 0o700)
			on := func(command string) *exec.Cmd {
				return inNamespaces(unix.CLONE_NEWNS, shell(mount.script+"; exec "+command, dir))
			}
			advice := strings.ReplaceAll(mount.advice, "DIR", dir)
			run(t, 1, on(`fifo-server --path "$1/fifo"`), dir+"/fifo", mount.error, advice)
			run(t, 1, on(`shm-server --fifo "$1/fifo" --key-path "$1"`), dir+"/fifo", mount.error, advice, "detached and removed segment")
			for _, binary := range []string{"fifo-server", "shm-server", "fifo-client", "shm-client"} {
				run(t, 1, on(binary+` --dir "$1/new"`), "make folder: mkdir "+dir+"/new", "name another with --dir")
			}
		})
	}
}

// What a read-only file system does not forbid is to use a FIFO on it.
func TestClientOnAReadOnlyFileSystem(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := folder(t, 0, 0o700)
	server := suitetest.Start(t, dir, "fifo-server")
	server.Await("waiting for a client")
	run(t, 0, inNamespaces(unix.CLONE_NEWNS,
		shell(`mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; exec fifo-client --dir "$1" hello`, dir)))
	suitetest.Contains(t, server.Rest(), "client say : hello")
	server.Exit(0)
}

// Without /proc no process can start itself anew, as the readers are, and nothing
// can be explained; the rest works.
func TestWithoutProc(t *testing.T) {
	needRoot(t)
	t.Parallel()
	root := folder(t, 0, 0o755)
	run(t, 0, shell(`mkdir -p "$1/bin" "$1/dev" "$1/tmp"; cp "$2"/* "$1/bin"; : >"$1/dev/null"`,
		root, filepath.Dir(exec.Command("pipe-demo").Path)))
	const dir = "/tmp/ipcsuite"
	inside := func(args ...string) *exec.Cmd {
		cmd := with(args, "--dir", dir)
		cmd.Path = "/bin/" + args[0]
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Unshareflags: unix.CLONE_NEWIPC}
		return cmd
	}
	t.Run("readers cannot be started", func(t *testing.T) {
		run(t, 1, inside("fifo-server"), "start readers: fork: this program's own executable cannot be found, is /proc mounted?")
		demo := inside("pipe-demo")
		demo.Args = demo.Args[:1]
		run(t, 1, demo, "start child: fork: this program's own executable cannot be found, is /proc mounted?")
	})
	t.Run("segments cannot be listed", func(t *testing.T) {
		ls := inside("shm-server", "ls")
		ls.Args = []string{"shm-server", "ls"}
		run(t, 1, ls, "list segments", "is /proc mounted?")
	})
	t.Run("a client cannot wait at a FIFO", func(t *testing.T) {
		run(t, 0, shell(`mkdir -p -m 0700 "$1"; mkfifo -m 0600 "$1/$2"`, root+dir, contract.FIFOName))
		run(t, 1, inside("fifo-client", "--wait", "1m", "hello"), "to wait at a FIFO takes /proc: is it mounted?")
		if err := os.Remove(filepath.Join(root, dir, contract.FIFOName)); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("shared memory works, and says what it does not see", func(t *testing.T) {
		server := inside("shm-server", "--explain")
		server.SysProcAttr.Unshareflags = 0 // with the client
		s := suitetest.StartCmd(t, "", server)
		s.Await("cannot be seen: open /proc/sysvipc/shm: no such file or directory")
		s.Await("waiting for a client")
		client := inside("shm-client", "hello", contract.Quit)
		client.SysProcAttr.Unshareflags = 0
		run(t, 0, client)
		s.Prints("hello", contract.Quit)
		s.Ends(0)
		suitetest.Clean(t, root+dir, s)
	})
}

// A container's seccomp filter may have kcmp(2) fail, as one that does not know the
// call or as one that forbids it.
func TestWithoutKcmp(t *testing.T) {
	t.Parallel()
	for _, filter := range []struct {
		errno unix.Errno
		why   string
	}{
		{unix.EPERM, "kcmp(2): operation not permitted (a look into a process needs the same user, or CAP_SYS_PTRACE, and a seccomp filter that lets it pass)"},
		{unix.ENOSYS, "kcmp(2): function not implemented (the kernel was built without it, or a seccomp filter hides it)"},
	} {
		t.Run(unix.ErrnoName(filter.errno), func(t *testing.T) {
			t.Parallel()
			forbid := func(args ...string) *exec.Cmd {
				return fork.Command("forbid", append([]string{fmt.Sprint(int(filter.errno))}, args...)...)
			}
			dir, hidden := suitetest.Dir(t), "share an open file description: cannot be seen: "+filter.why
			server := suitetest.StartCmd(t, dir, forbid("fifo-server", "--explain"))
			server.Await("waiting for a client")
			client := suitetest.StartCmd(t, dir, forbid("fifo-client", "--explain", "hello"))
			suitetest.Contains(t, client.Ends(0), hidden)
			suitetest.Contains(t, server.Rest(), "client say : hello")
			suitetest.Contains(t, server.Exit(0), hidden)
			suitetest.Clean(t, dir, server, client)

			out := run(t, 0, forbid("pipe-demo", "facts", "shared-description"))
			suitetest.Contains(t, out, "fact shared-description: PASS", "Not shown here: whether descriptions are the same, other than by their flags: "+filter.why)
		})
	}
}

// On one processor, to spin is to keep the other side from it.
func TestOneProcessor(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"fifo", "shm"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const lines = 20000
			client := shell(fmt.Sprintf("seq 1 %d | %s-client", lines, name))
			out := transfer(t, suitetest.Dir(t), fork.Command("pin", name+"-server"), fork.Command("pin", client.Args...))
			seen := strings.Count(out, "\n")
			if name == "fifo" {
				seen -= 3 // each reader's last line
			}
			if seen != lines {
				t.Errorf("%d lines were printed, want %d", seen, lines)
			}
		})
	}
}

// memoryCgroup makes a group whose processes may have so much memory, and returns
// its folder and the file that says how much they have.
func memoryCgroup(t *testing.T, bytes int) (dir, usage string) {
	t.Helper()
	root, limit, usage := "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		root, limit, usage = "/sys/fs/cgroup", "memory.max", "memory.current"
	}
	dir = filepath.Join(root, fmt.Sprintf("ipcsuite-%d-%s", os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-")))
	if err := os.Mkdir(dir, 0o755); err != nil {
		notTested(t, "needs a control group of its own: "+err.Error())
	}
	t.Cleanup(func() {
		// The last process may still be on its way out.
		suitetest.Eventually(t, "the control group is removed", func() bool { return os.Remove(dir) == nil })
	})
	write := func(name string, n int) error {
		return os.WriteFile(filepath.Join(dir, name), []byte(fmt.Sprint(n)), 0)
	}
	if err := write(limit, bytes); err != nil {
		notTested(t, "needs a control group that limits memory: "+err.Error())
	}
	// Without swap, of which a kernel need not know.
	_, _ = write("memory.memsw.limit_in_bytes", bytes), write("memory.swap.max", 0)
	return dir, filepath.Join(dir, usage)
}

// within is a command that is in the group before it starts.
func within(cgroup string, cmd *exec.Cmd) *exec.Cmd {
	return shell(`echo 0 >"$1/cgroup.procs"; shift; exec "$@"`, append([]string{cgroup}, cmd.Args...)...)
}

func TestPairsIn32MiB(t *testing.T) {
	needRoot(t)
	t.Parallel()
	for _, pair := range []string{"fifo", "shm"} {
		t.Run(pair, func(t *testing.T) {
			t.Parallel()
			cgroup, usage := memoryCgroup(t, 32<<20)
			out := transfer(t, folder(t, 0, 0o700), within(cgroup, exec.Command(pair+"-server")),
				within(cgroup, shell(`seq 1 20000 | "$1"`, pair+"-client")))
			suitetest.Contains(t, out, "20000\n")
			t.Logf("%d bytes of the group's at the end", number(t, usage))
		})
	}
}

func number(t *testing.T, file string) (n int) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		_, err = fmt.Sscan(string(text), &n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A segment's pages count to the group of the process that touched them first. One
// that is too large for it can be made all the same, and kills whoever fills it.
func TestSegmentCountsToTheCgroup(t *testing.T) {
	needRoot(t)
	t.Parallel()
	const mib = 1 << 20
	cgroup, usage := memoryCgroup(t, 160*mib)
	dir := folder(t, 0, 0o700)
	touch := func(size int) *suitetest.Process {
		return suitetest.StartCmd(t, "", fork.Command("touch", cgroup, keyOf(t, dir).String(), fmt.Sprint(size)))
	}
	p := touch(48 * mib)
	p.Prints("made")
	p.Prints("touched")
	if n := number(t, usage); n < 48*mib {
		t.Errorf("%d bytes are the group's, and of the segment alone 48 MiB", n)
	}
	p.Ends(0)

	p = touch(320 * mib)
	p.Prints("made")
	p.Ends(-1)
	if status := p.Status(); status.Signal() != unix.SIGKILL {
		t.Errorf("ended by signal %v, want SIGKILL", status.Signal())
	}
	server := suitetest.Start(t, dir, "shm-server")
	server.Await("removed a segment that a dead server had left")
	server.Signal(unix.SIGTERM)
	server.Ends(143)
	suitetest.Clean(t, dir, server, p)
}
