package fifo_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/internal/ipctest"
)

// The article's server has mode 0666 "subject to the umask" (claim 17).
func TestFIFOHasTheModeAskedFor(t *testing.T) {
	t.Parallel()
	tests := []struct{ umask, mode, how, want string }{
		{"022", "0666", "honour", "0644"},
		{"077", "0666", "honour", "0600"},
		{"000", "0666", "honour", "0666"},
		{"022", "0666", "ignore", "0666"},
		{"077", "0777", "ignore", "0777"},
		{"077", "0", "ignore", "0600"}, // the default
		{"0777", "0640", "ignore", "0640"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("umask %s, mode %s, %s", tt.umask, tt.mode, tt.how), func(t *testing.T) {
			t.Parallel()
			path := tempPath(t)
			ipctest.Must(t, os.Chmod(filepath.Dir(path), 0o777))
			ipctest.Run(t, "mode", path, tt.umask, tt.mode, tt.how).Ends(tt.want)
			// Without privileges, a umask can keep the owner out too.
			runAsNobody(t, "mode", path, tt.umask, tt.mode, tt.how).Ends(tt.want)
			expectNames(t, filepath.Dir(path))
		})
	}
}

func TestModeOfMoreThanPermissionsIsRefused(t *testing.T) {
	t.Parallel()
	for _, mode := range []fs.FileMode{fs.ModeSetuid | 0o600, fs.ModeDir | 0o700, 0o1000} {
		path := tempPath(t)
		_, err := fifo.Create(context.Background(), path, fifo.Options{Mode: mode})
		ipctest.Want(t, err, unix.EINVAL)
		expectNames(t, filepath.Dir(path))
	}
}

func TestModeThatKeepsTheOwnerFromReadingIsRefused(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	ipctest.Must(t, os.Chmod(filepath.Dir(path), 0o777))
	runAsNobody(t, "mode", path, "0", "0222", "ignore").Ends(
		"error: create FIFO " + path + ": open: permission denied")
	expectNames(t, filepath.Dir(path))
}

func TestCreateRefusesWhatItCannotReplace(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		says string
		make func(path string) error
	}{
		"a regular file": {"a file of another kind", func(path string) error {
			return os.WriteFile(path, []byte("keep"), 0o600)
		}},
		"a folder": {"a folder", func(path string) error { return os.Mkdir(path, 0o700) }},
		"a symbolic link to a regular file": {"symbolic link", func(path string) error {
			return errors.Join(os.WriteFile(path+".target", nil, 0o600), os.Symlink(path+".target", path))
		}},
		"a symbolic link to a FIFO": {"symbolic link", func(path string) error {
			return errors.Join(unix.Mkfifo(path+".target", 0o600), os.Symlink(path+".target", path))
		}},
		"a dangling symbolic link": {"symbolic link", func(path string) error {
			return os.Symlink(path+".target", path)
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := tempPath(t)
			ipctest.Must(t, tt.make(path))
			err := expectRefusal(t, path, path, unix.EEXIST)
			ipctest.Want(t, err, fifo.ErrNotFIFO)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v does not say %q", err, tt.says)
			}
		})
	}
}

// expectRefusal checks that Create fails with an error that names what is there, which
// has not changed. It returns the error.
func expectRefusal(t *testing.T, path, there string, target error) error {
	t.Helper()
	before, names := lstat(t, there), names(t, filepath.Dir(path))
	_, err := fifo.Create(context.Background(), path, fifo.Options{})
	ipctest.Want(t, err, target)
	if err == nil || !strings.Contains(err.Error(), there) {
		t.Errorf("error %v does not name %s", err, there)
	}
	if after := lstat(t, there); after != before {
		t.Errorf("what was there has changed: %+v, was %+v", after, before)
	}
	expectNames(t, filepath.Dir(path), names...)
	return err
}

func TestCreateSaysWhatIsWrongWithTheFolder(t *testing.T) {
	t.Parallel()
	t.Run("it does not exist", func(t *testing.T) {
		t.Parallel()
		_, err := fifo.Create(context.Background(), filepath.Join(t.TempDir(), "nonesuch", "fifo"), fifo.Options{})
		ipctest.Want(t, err, unix.ENOENT)
	})
	t.Run("it is a file", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "file")
		ipctest.Must(t, os.WriteFile(path, nil, 0o600))
		_, err := fifo.Create(context.Background(), filepath.Join(path, "fifo"), fifo.Options{})
		ipctest.Want(t, err, unix.ENOTDIR)
	})
	t.Run("it may not be written to", func(t *testing.T) {
		t.Parallel()
		path := tempPath(t)
		ipctest.Must(t, os.Chmod(filepath.Dir(path), 0o555))
		runAsNobody(t, "serve", path).Ends(
			"error: create FIFO " + path + ": " + filepath.Dir(path) + "/.fifo.new: mkdir: permission denied")
	})
	t.Run("it may not be read", func(t *testing.T) {
		t.Parallel()
		path := tempPath(t)
		ipctest.Must(t, os.Chmod(filepath.Dir(path), 0o333))
		runAsNobody(t, "serve", path).Ends(
			"error: create FIFO " + path + ": folder " + filepath.Dir(path) + "/: open: permission denied")
	})
}

func TestOddPathsAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for path, target := range map[string]error{
		"":                                      unix.ENOENT,
		dir + "/":                               unix.EEXIST,
		dir + "/.":                              unix.EEXIST,
		dir + "/" + strings.Repeat("x", 256):    unix.ENAMETOOLONG,
		dir + "/" + strings.Repeat("x/", 10000): unix.ENAMETOOLONG,
		dir + "/a\x00b":                         unix.EINVAL,
	} {
		_, err := fifo.Create(context.Background(), path, fifo.Options{})
		ipctest.Want(t, err, target)
		expectNames(t, dir)
	}
}

func TestPathIsReadAsTheKernelReadsIt(t *testing.T) {
	t.Parallel()
	// Behind a symbolic link, ".." is not where the link is.
	dir := t.TempDir()
	ipctest.Must(t, errors.Join(os.MkdirAll(dir+"/a/b", 0o700), os.Symlink("a/b", dir+"/link")))
	ipctest.FIFO(t, dir+"/link/../fifo")
	expectNames(t, dir+"/a", "b", "fifo")
	ipctest.Want(t, fifo.Live(dir+"/a/fifo"), unix.EADDRINUSE)
}

func TestFIFOOfAnotherUserIsRefused(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	ipctest.Mkfifo(t, path)
	if os.Geteuid() == 0 { // else whoever runs the test is the other user
		ipctest.Must(t, os.Chown(path, 65534, 65534))
		_ = expectRefusal(t, path, path, unix.EPERM)
	}
}

// Not parallel: the limit is the process's.
func TestCreateWithoutDescriptorsLeavesNothing(t *testing.T) {
	path := tempPath(t)
	var limit unix.Rlimit
	ipctest.Must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	for left := range 3 {
		low := unix.Rlimit{Cur: 128, Max: limit.Max}
		ipctest.Must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &low))
		var held []int
		for {
			fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				break
			}
			held = append(held, fd)
		}
		for _, fd := range held[:left] {
			unix.Close(fd)
		}
		_, err := fifo.Create(context.Background(), path, fifo.Options{})
		for _, fd := range held[left:] {
			unix.Close(fd)
		}
		ipctest.Must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
		ipctest.Want(t, err, unix.EMFILE)
		expectNames(t, filepath.Dir(path))
	}
}

func TestStaleFIFOIsReplaced(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	ipctest.Mkfifo(t, path)
	old := lstat(t, path)
	f := ipctest.FIFO(t, path)
	if !f.Replaced() {
		t.Error("Replaced is false")
	}
	if lstat(t, path) == old {
		t.Error("the FIFO is the old one")
	}
	expectNames(t, filepath.Dir(path), "fifo")
}

func TestStaleFIFOThatItsOwnerMayNotWriteIsReplaced(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	ipctest.Mkfifo(t, path)
	ipctest.Must(t, errors.Join(os.Chmod(path, 0o420), os.Chmod(filepath.Dir(path), 0o777)))
	if os.Geteuid() == 0 {
		ipctest.Must(t, os.Chown(path, 65534, 65534))
	}
	runAsNobody(t, "mode", path, "0", "0420", "ignore").Ends("0420")
	expectNames(t, filepath.Dir(path))
}

func TestFreshFIFOIsNotReplaced(t *testing.T) {
	t.Parallel()
	if f := ipctest.FIFO(t, tempPath(t)); f.Replaced() {
		t.Error("Replaced is true")
	}
}

func TestDraftOfACreateThatWasKilledIsReplaced(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	draft := filepath.Join(filepath.Dir(path), ".fifo.new")
	for _, step := range []string{"before it made the FIFO", "before it moved it"} {
		ipctest.Must(t, os.Mkdir(draft, 0o700))
		if step == "before it moved it" {
			ipctest.Mkfifo(t, filepath.Join(draft, "fifo"))
		}
		f := ipctest.FIFO(t, path)
		if f.Replaced() {
			t.Error("Replaced is true")
		}
		expectNames(t, filepath.Dir(path), "fifo")
		ipctest.Must(t, f.Remove())
	}
}

func TestWhatIsInThePlaceOfTheDraftIsKept(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		make func(draft string) error
		want error
	}{
		"a file":              {func(draft string) error { return os.WriteFile(draft, nil, 0o600) }, unix.EEXIST},
		"a FIFO":              {func(draft string) error { return unix.Mkfifo(draft, 0o600) }, unix.EEXIST},
		"a link to a folder":  {func(draft string) error { return os.Symlink(".", draft) }, unix.EEXIST},
		"a link to nothing":   {func(draft string) error { return os.Symlink("nothing", draft) }, unix.EEXIST},
		"a folder for others": {func(draft string) error { return errors.Join(os.Mkdir(draft, 0o700), os.Chmod(draft, 0o755)) }, unix.EPERM},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := tempPath(t)
			draft := filepath.Join(filepath.Dir(path), ".fifo.new")
			ipctest.Must(t, tt.make(draft))
			_ = expectRefusal(t, path, draft, tt.want)
		})
	}
}

func TestServerThatWasKilledLeavesAFIFOThatIsReplaced(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	first := ipctest.Run(t, "serve", path)
	first.Expect("serving, replaced: false")
	first.Kill()
	expectNames(t, filepath.Dir(path), "fifo")
	second := ipctest.Run(t, "serve", path)
	second.Expect("serving, replaced: true")
	second.Ends()
	expectNames(t, filepath.Dir(path))
}

func TestWriterAtAReplacedFIFOKnowsWhatIsLost(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	first := ipctest.Run(t, "serve", path)
	first.Expect("serving, replaced: false")
	w := ipctest.Writer(t, path)
	send(t, w, "one", "two")
	first.Kill()
	f := ipctest.FIFO(t, path)
	_, err := w.Write([]byte("three"))
	ipctest.Want(t, err, unix.EPIPE)
	expectCount(t, w.Unread, 2)
	expectCount(t, f.Pending, 0)
}

func TestLiveServerIsNamedAndLeftAlone(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	server := ipctest.Run(t, "serve", path)
	server.Expect("serving, replaced: false")
	err := expectRefusal(t, path, path, unix.EADDRINUSE)
	var live *fifo.LiveError
	if !errors.As(err, &live) || !slices.Equal(live.PIDs, []int{server.PID()}) || live.Path != path {
		t.Errorf("error is %#v, want one with pid %d", live, server.PID())
	}
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint(server.PID())) {
		t.Errorf("error %v does not name pid %d", err, server.PID())
	}
	server.Ends()
	ipctest.FIFO(t, path)
}

func TestServerOfThisProcessIsLive(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	f := ipctest.FIFO(t, path)
	_, err := fifo.Create(context.Background(), path, fifo.Options{})
	expectPIDs(t, err, os.Getpid())
	f.Close()
	if f := ipctest.FIFO(t, path); !f.Replaced() {
		t.Error("Replaced is false after Close")
	}
}

// A server that blocks in open(2) has no descriptor yet that /proc could show.
func TestForeignServerThatBlocksInOpenIsLive(t *testing.T) {
	t.Parallel()
	path, _ := blockedInOpen(t, "raw reader")
	_ = expectRefusal(t, path, path, unix.EADDRINUSE)
}

// Of those who start at once, one makes the FIFO and the others find it served.
func TestOneOfSeveralCreatesWins(t *testing.T) {
	t.Parallel()
	t.Run("goroutines", func(t *testing.T) {
		t.Parallel()
		path := tempPath(t)
		for range 40 {
			ipctest.Mkfifo(t, path)
			var fifos [4]*fifo.FIFO
			var errs [4]error
			var all sync.WaitGroup
			for i := range fifos {
				all.Go(func() { fifos[i], errs[i] = fifo.Create(context.Background(), path, fifo.Options{}) })
			}
			all.Wait()
			winners := 0
			for i, f := range fifos {
				if f == nil {
					ipctest.Want(t, errs[i], unix.EADDRINUSE)
					continue
				}
				winners++
				if !f.Replaced() {
					t.Error("the stale FIFO was not replaced")
				}
				ipctest.Must(t, f.Remove())
			}
			if winners != 1 {
				t.Fatalf("%d have made the FIFO", winners)
			}
		}
		expectNames(t, filepath.Dir(path))
	})
	t.Run("processes", func(t *testing.T) {
		t.Parallel()
		path := tempPath(t)
		for range 5 {
			ipctest.Mkfifo(t, path)
			var servers [3]*ipctest.Child
			for i := range servers {
				servers[i] = ipctest.Run(t, "serve", path)
			}
			winner := 0
			said := make([]string, len(servers))
			for i, c := range servers {
				if said[i] = c.Line(); said[i] == "serving, replaced: true" {
					winner += c.PID()
				}
			}
			for _, line := range said {
				if line != "serving, replaced: true" && line != fmt.Sprintf("live: [%d]", winner) {
					t.Errorf("a server said %q, and the one that serves has pid %d", line, winner)
				}
			}
			for _, c := range servers {
				c.Ends()
			}
		}
		expectNames(t, filepath.Dir(path))
	})
}

func TestContextEndsTheWaitForTheFolder(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	unlock := lockFolder(t, path)
	reason := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	result := ipctest.Go(func() error {
		_, err := fifo.Create(ctx, path, fifo.Options{})
		return err
	})
	ipctest.Eventually(t, "Create waits for the folder", func() bool { return ipctest.ThreadsIn(os.Getpid(), unix.SYS_FLOCK) > 0 })
	cancel(reason)
	err := ipctest.Within(t, result)
	ipctest.Want(t, err, reason)
	if err == nil || !strings.Contains(err.Error(), "locked") {
		t.Errorf("error %v does not say what was waited for", err)
	}

	// The lock that comes too late is given back.
	unlock()
	ipctest.FIFO(t, path)
}

func TestCreateUnderACancelledContextDoesNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 50 {
		path := tempPath(t)
		_, err := fifo.Create(ctx, path, fifo.Options{})
		ipctest.Want(t, err, context.Canceled)
		expectNames(t, filepath.Dir(path))
	}
}

func TestRemoveAndUnlinkLeaveWhatIsThereInstead(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(*fifo.FIFO) error{
		"Remove": (*fifo.FIFO).Remove,
		"Unlink": (*fifo.FIFO).Unlink,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := tempPath(t)
			f := ipctest.FIFO(t, path)
			ipctest.Must(t, os.Rename(path, path+".moved"))
			ipctest.Want(t, remove(f), fs.ErrNotExist)

			f = ipctest.FIFO(t, path)
			ipctest.Must(t, errors.Join(os.Rename(path, path+".moved"), unix.Mkfifo(path, 0o600)))
			ipctest.Want(t, remove(f), fs.ErrNotExist)
			expectNames(t, filepath.Dir(path), "fifo", "fifo.moved")
		})
	}
}

// Not parallel: the working directory is the process's.
func TestRemoveFindsTheFIFOWhereItWasMade(t *testing.T) {
	for _, after := range []string{"chdir", "the folder was moved"} {
		t.Run(after, func(t *testing.T) {
			top := t.TempDir()
			dir, moved := filepath.Join(top, "a"), filepath.Join(top, "b")
			ipctest.Must(t, os.Mkdir(dir, 0o700))
			t.Chdir(dir)
			f := ipctest.FIFO(t, "fifo")
			if after == "chdir" {
				t.Chdir(top)
			} else {
				ipctest.Must(t, errors.Join(os.Rename(dir, moved), os.Mkdir(dir, 0o700)))
				t.Chdir(dir)
				dir = moved
			}
			ipctest.Must(t, f.Remove())
			expectNames(t, dir)
		})
	}
}

// Not parallel: the working directory is the process's, and so are its threads.
func TestFIFOIsMadeInTheFolderThatIsLocked(t *testing.T) {
	for _, meanwhile := range []string{"chdir", "the folder is moved"} {
		t.Run(meanwhile, func(t *testing.T) {
			top := t.TempDir()
			dir, other := filepath.Join(top, "a"), filepath.Join(top, "b")
			ipctest.Must(t, errors.Join(os.Mkdir(dir, 0o700), os.Mkdir(other, 0o700)))
			path := filepath.Join(dir, "fifo")
			ipctest.Mkfifo(t, path) // to be recognised there
			unlock := lockFolder(t, path)
			if meanwhile == "chdir" {
				t.Chdir(dir)
				path = "fifo"
			}
			var f *fifo.FIFO
			result := ipctest.Go(func() (err error) {
				f, err = fifo.Create(context.Background(), path, fifo.Options{})
				return err
			})
			ipctest.Eventually(t, "Create waits for the folder", func() bool { return ipctest.ThreadsIn(os.Getpid(), unix.SYS_FLOCK) > 0 })
			empty, full := other, dir
			if meanwhile == "chdir" {
				t.Chdir(other)
			} else {
				ipctest.Must(t, unix.Renameat2(unix.AT_FDCWD, dir, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE))
				empty, full = dir, other
			}
			unlock()
			ipctest.Must(t, ipctest.Within(t, result))
			if !f.Replaced() {
				t.Error("Replaced is false")
			}
			expectNames(t, full, "fifo")
			expectNames(t, empty)
			ipctest.Want(t, fifo.Live(filepath.Join(full, "fifo")), unix.EADDRINUSE)
			ipctest.Must(t, f.Remove())
			expectNames(t, full)
		})
	}
}

func TestUnlinkLeavesThePipe(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	f := ipctest.FIFO(t, path)
	w := ipctest.Writer(t, path)
	ipctest.Must(t, f.Unlink())
	send(t, w, "still there")
	expectMessages(t, f.TryRead, "still there")
	_, err := fifo.OpenWriter(context.Background(), path, fifo.NoWait)
	ipctest.Want(t, err, unix.ENOENT)
}

func TestCloseTwiceDoesNothing(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	f := ipctest.FIFO(t, path)
	ipctest.Must(t, f.Remove())
	f.Close()
	ipctest.Want(t, f.Remove(), fs.ErrNotExist)
}

func TestEveryReaderOfTheFIFOOpensThePipeNotTheName(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	f := ipctest.FIFO(t, path)
	ipctest.Must(t, errors.Join(os.Rename(path, path+".moved"), unix.Mkfifo(path, 0o600)))
	w := ipctest.Writer(t, path+".moved")
	send(t, w, "one")
	ipctest.Must(t, f.KeepOpen())
	r := ipctest.Reader(t, f)
	expectMessages(t, r.Read, "one")
}

// lstat returns what tells files apart.
func lstat(tb testing.TB, path string) [3]uint64 {
	tb.Helper()
	var st unix.Stat_t
	ipctest.Must(tb, unix.Lstat(path, &st))
	return [3]uint64{st.Ino, uint64(st.Mode), uint64(st.Ctim.Nano())}
}

func names(tb testing.TB, dir string) (names []string) {
	tb.Helper()
	entries, err := os.ReadDir(dir)
	ipctest.Must(tb, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// expectNames checks that the folder holds these and nothing else.
func expectNames(tb testing.TB, dir string, want ...string) {
	tb.Helper()
	if got := names(tb, dir); !slices.Equal(got, want) {
		tb.Errorf("folder %s holds %q, want %q", dir, got, want)
	}
}
