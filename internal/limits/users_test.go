package limits

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/internal/suitetest"
	"example.com/ipcsuite/pkg/fork"
	"example.com/ipcsuite/pkg/sysv"
)

// everyBinary runs a test for each binary that has a --dir, with the arguments
// that have it look for its FIFO.
func everyBinary(t *testing.T, test func(t *testing.T, args ...string)) {
	for _, args := range [][]string{
		{"fifo-server"}, {"fifo-server", "health"}, {"fifo-client", "secret"},
		{"shm-server"}, {"shm-server", "health"}, {"shm-client", "secret"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			test(t, args...)
		})
	}
}

// with is a binary with flags before its other arguments.
func with(args []string, flags ...string) *exec.Cmd {
	return exec.Command(args[0], slices.Concat(flags, args[1:])...)
}

// The default --dir is /tmp/ipcsuite-UID, which others can make first.
func TestFolderMadeByAnotherUser(t *testing.T) {
	needRoot(t)
	t.Parallel()
	for what, kind := range map[string]struct{ script, refusal string }{
		"a folder":                         {`mkdir -m 0777 "$1"`, "belongs to uid 65533, not to you (uid 65532)"},
		"a link to a folder of theirs":     {`mkdir -m 0777 "$1.real"; ln -s "$1.real" "$1"`, "symbolic link"},
		"a link to a folder of the victim": {`ln -s "$2" "$1"`, "symbolic link"},
		"a FIFO":                           {`mkfifo -m 0666 "$1"`, "not a folder"},
		"a file":                           {`touch "$1"`, "not a folder"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir, victims := filepath.Join(sticky(t), "ipcsuite-65532"), folder(t, victim, 0o700)
			attack(t, shell(kind.script, dir, victims))
			everyBinary(t, func(t *testing.T, args ...string) {
				run(t, 1, as(victim, with(args, "--dir", dir)), dir, kind.refusal, "name another with --dir")
				suitetest.Clean(t, victims) // the folder that was linked to
			})
		})
	}
}

// servers are the two, with the flag that names a FIFO.
func servers(path, keyPath string) map[string]*exec.Cmd {
	return map[string]*exec.Cmd{
		"fifo-server": as(victim, exec.Command("fifo-server", "--path", path)),
		"shm-server":  as(victim, exec.Command("shm-server", "--fifo", path, "--key-path", keyPath)),
	}
}

// A server makes the FIFO at a path that is named to it, or nothing.
func TestPathTakenByAnotherUser(t *testing.T) {
	needRoot(t)
	t.Parallel()
	const draft = ".fifo.new"
	for what, kind := range map[string]struct{ name, script, refusal string }{
		"a FIFO":                        {"fifo", `mkfifo "$1"; chmod 0666 "$1"`, "belongs to uid 65533: operation not permitted: choose another path"},
		"a file":                        {"fifo", `touch "$1"`, "a file of another kind"},
		"a link to the victim's file":   {"fifo", `ln -s "$2/file" "$1"`, "symbolic link"},
		"a link to the victim's FIFO":   {"fifo", `ln -s "$2/stale" "$1"`, "symbolic link"},
		"a link to nothing":             {"fifo", `ln -s "$2/nothing" "$1"`, "symbolic link"},
		"a FIFO in the draft's place":   {draft, `mkfifo "$1"; chmod 0666 "$1"`, draft + ": something is in the way: file exists"},
		"a link in the draft's place":   {draft, `ln -s "$2" "$1"`, draft + ": something is in the way: file exists"},
		"a folder in the draft's place": {draft, `mkdir -m 0777 "$1"`, draft + ": it belongs to uid 65533: operation not permitted"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir, victims := sticky(t), folder(t, victim, 0o700)
			run(t, 0, as(victim, shell(`cd "$1"; touch file; mkfifo -m 0600 stale`, victims)))
			attack(t, shell(kind.script, filepath.Join(dir, kind.name), victims))
			before := run(t, 0, shell(`stat -c '%n %A %u %h %Z' "$1"/* "$2"/.[!.]* "$2"/* 2>&1 || true`, victims, dir))
			for name, server := range servers(filepath.Join(dir, "fifo"), victims) {
				t.Run(name, func(t *testing.T) {
					run(t, 1, server, kind.refusal)
				})
			}
			after := run(t, 0, shell(`stat -c '%n %A %u %h %Z' "$1"/* "$2"/.[!.]* "$2"/* 2>&1 || true`, victims, dir))
			if before != after {
				t.Errorf("before:\n%safter:\n%s", before, after)
			}
		})
	}
}

// A hard link to a FIFO of the victim's looks like one that the victim has made.
// The kernel lets nobody make it where fs.protected_hardlinks is 1; root, who makes
// it here, stands for an attacker where it is 0.
func TestHardLinkToAnotherFIFOOfTheVictims(t *testing.T) {
	needRoot(t)
	t.Parallel()
	for _, name := range []string{"fifo", ".fifo.new"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, state := range []string{"dead", "live"} {
				t.Run(state, func(t *testing.T) {
					t.Parallel()
					refusal := "served by live process"
					if name == ".fifo.new" {
						refusal = "something is in the way"
					}
					dir, victims := sticky(t), folder(t, victim, 0o700)
					other := filepath.Join(victims, "other")
					if state == "live" {
						server := suitetest.StartCmd(t, "", as(victim, exec.Command("fifo-server", "--path", other)))
						server.Await("waiting for a client")
						defer server.Signal(syscall.SIGTERM)
					} else {
						run(t, 0, as(victim, shell(`mkfifo -m 0600 "$1"`, other)))
					}
					if err := os.Link(other, filepath.Join(dir, name)); err != nil {
						t.Fatal(err)
					}
					server := suitetest.StartCmd(t, "", as(victim, exec.Command("fifo-server", "--mode", "0666", "--path", filepath.Join(dir, "fifo"))))
					if state == "live" || name == ".fifo.new" {
						suitetest.Contains(t, server.Ends(1), refusal)
					} else {
						server.Await("waiting for a client")
						server.Signal(syscall.SIGTERM)
						server.Exit(143)
					}
					info, err := os.Lstat(other)
					if err != nil || info.Mode() != os.ModeNamedPipe|0o600 {
						t.Errorf("the other FIFO: %v, %v; want mode 0600 as before", info.Mode(), err)
					}
				})
			}
		})
	}
}

// In a folder that all may write to, and that has no sticky bit, nothing is safe
// between two system calls. What is not the FIFO just made is still not served, nor
// is the mode of another file changed.
func TestFIFOReplacedWhileItIsMade(t *testing.T) {
	needRoot(t)
	t.Parallel()
	for name, uid := range map[string]uint32{
		"by another user": attacker,
		"by one whom fs.protected_hardlinks does not bind": 0,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, victims := folder(t, 0, 0o777), folder(t, victim, 0o755)
			path, target, other := filepath.Join(dir, "fifo"), filepath.Join(victims, "target"), filepath.Join(victims, "other")
			run(t, 0, as(victim, shell(`mkdir -m 0700 "$1"; mkfifo -m 0600 "$2"`, target, other)))
			swapper := startRole(t, uid, "swapping", "swap", path, target, other)
			const times = "1000"
			creator := suitetest.StartCmd(t, "", as(victim, fork.Command("create", path, times)))
			creator.Prints("tried " + times)
			t.Log(creator.Ends(0))
			swapper.Ends(0)
			if info, err := os.Stat(other); err != nil || info.Mode() != os.ModeNamedPipe|0o600 {
				t.Errorf("the other FIFO: %v, %v; want mode 0600 as before", info.Mode(), err)
			}
			suitetest.Clean(t, target, swapper, creator) // the folder that was linked to
		})
	}
}

// Everybody may lock a folder that they may read.
func TestFolderKeptLockedByAnotherUser(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := sticky(t)
	path := filepath.Join(dir, "fifo")
	served := filepath.Join(dir, "served")
	server := suitetest.StartCmd(t, "", as(victim, exec.Command("fifo-server", "--keep-alive", "--path", served)))
	server.Await("serving")
	startRole(t, attacker, "locked", "flock", dir)

	waiting := make(map[string]*suitetest.Process)
	for name, server := range servers(path, dir) {
		waiting[name] = suitetest.StartCmd(t, "", server)
	}
	t.Run("a signal ends the wait", func(t *testing.T) {
		server := suitetest.StartCmd(t, "", as(victim, exec.Command("fifo-server", "--path", path)))
		suitetest.Eventually(t, "the server waits for the lock", func() bool {
			return suitetest.SleepsIn(server.PID(), unix.SYS_FLOCK)
		})
		server.Signal(syscall.SIGINT)
		server.Exit(130)
	})
	t.Run("clients keep to their time", func(t *testing.T) {
		run(t, 1, as(victim, exec.Command("fifo-client", "--path", path, "--wait", "100ms", "hello")), "no server within 100ms: start fifo-server")
	})
	t.Run("a server that is there is found", func(t *testing.T) {
		run(t, 0, as(victim, exec.Command("fifo-client", "--path", served, "hello")))
	})
	for name, server := range waiting {
		t.Run(name+" gives up", func(t *testing.T) {
			suitetest.Contains(t, server.Ends(1), "another process keeps", dir, "locked", "lslocks(8)")
		})
	}
}

// The victim's own dead FIFO looks served. That keeps its server from that path,
// and no more.
func TestPresenceFeignedByAnotherUser(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := sticky(t)
	path := filepath.Join(dir, "fifo")
	run(t, 0, as(victim, shell(`mkfifo -m 0600 "$1"`, path)))
	locker := startRole(t, attacker, "locked", "presence", dir)
	run(t, 1, as(victim, exec.Command("fifo-server", "--path", path)), "not visible from here", "choose another path")
	server := suitetest.StartCmd(t, "", as(victim, exec.Command("fifo-server", "--path", path+"2")))
	server.Await("waiting for a client")
	run(t, 0, as(victim, exec.Command("fifo-client", "--path", path+"2", "hello")))
	server.Exit(0)

	locker.Ends(0)
	server = suitetest.StartCmd(t, "", as(victim, exec.Command("fifo-server", "--path", path)))
	server.Await("took over a FIFO")
	server.Signal(syscall.SIGTERM)
	server.Exit(143)
}

// Nobody but its owner can take over what a dead server has left, nor the place of
// one that lives; nor lock a FIFO that is not for them.
func TestTakeOverByAnotherUser(t *testing.T) {
	needRoot(t)
	t.Parallel()
	for _, state := range []string{"dead", "live"} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(sticky(t), "fifo")
			server := exec.Command("fifo-server", "--path", path)
			waiting := "waiting for a client"
			if state == "dead" {
				run(t, 0, as(victim, shell(`mkfifo -m 0600 "$1"`, path)))
				waiting = "took over a FIFO"
			}
			var live *suitetest.Process
			if state == "live" {
				live = suitetest.StartCmd(t, "", as(victim, server))
				live.Await(waiting)
			}
			run(t, 1, as(attacker, exec.Command("fifo-server", "--path", path)), "it belongs to uid 65532")
			run(t, 1, as(attacker, exec.Command("fifo-client", "--path", path, "hello")), "permission denied")
			run(t, 1, as(attacker, fork.Command("flock", path)), "permission denied")
			run(t, 1, as(attacker, shell(`mkfifo "$1.mine"; mv -f "$1.mine" "$1"`, path)), "not permitted")
			run(t, 1, as(attacker, exec.Command("rm", "-f", path)), "not permitted")
			if state == "dead" {
				live = suitetest.StartCmd(t, "", as(victim, server))
				live.Await(waiting)
			}
			live.Signal(syscall.SIGTERM)
			live.Exit(143)
		})
	}
}

// clients are the two, as the victim runs them, with what they want to keep secret.
func clients(path, keyPath string, flags ...string) map[string]*exec.Cmd {
	fifoClient := append([]string{"--path", path}, flags...)
	shmClient := append([]string{"--fifo", path, "--key-path", keyPath}, flags...)
	return map[string]*exec.Cmd{
		"fifo-client": as(victim, exec.Command("fifo-client", append(fifoClient, "secret")...)),
		"shm-client":  as(victim, exec.Command("shm-client", append(shmClient, "secret")...)),
	}
}

func keyOf(t *testing.T, path string) sysv.Key {
	t.Helper()
	key, err := sysv.Ftok(path, contract.ProjID)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// In /tmp anybody can be first at the path, with a segment under the key as well.
func TestClientTellsAStrangerNothing(t *testing.T) {
	needRoot(t)
	t.Parallel()
	for name := range clients("", "") {
		for _, flags := range [][]string{nil, {"--wait", "1m"}} {
			t.Run(fmt.Sprint(name, flags), func(t *testing.T) {
				t.Parallel()
				dir := sticky(t)
				path := filepath.Join(dir, "fifo")
				segment := startRole(t, attacker, "made", "segment", keyOf(t, dir).String(), fmt.Sprint(attacker))
				client := clients(path, dir, flags...)[name]
				var waiting *suitetest.Process
				if flags != nil {
					waiting = suitetest.StartCmd(t, "", client)
					waiting.Await("waiting for a server")
				}
				listener := startRole(t, attacker, "listening", "listen", path)
				if flags == nil {
					waiting = suitetest.StartCmd(t, "", client)
				}
				suitetest.Contains(t, waiting.Ends(1), path+" belongs to uid 65533", "nothing was sent")
				listener.EOF().Prints(`heard ""`)
				listener.Ends(0)
				segment.EOF().Prints("holds nothing")
				segment.Ends(0)
			})
		}
	}
}

// A folder of the victim's own, where the sticky bit lets others make files.
func TestFIFOOfAnotherUserInDir(t *testing.T) {
	needRoot(t)
	t.Parallel()
	for name, file := range map[string]string{"fifo-client": contract.FIFOName, "shm-client": contract.GateName} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, victim, 0o1777)
			segment := startRole(t, attacker, "made", "segment", keyOf(t, dir).String(), fmt.Sprint(attacker))
			listener := startRole(t, attacker, "listening", "listen", filepath.Join(dir, file))
			run(t, 1, as(victim, exec.Command(name, "--dir", dir, "secret")), "belongs to uid 65533, not to you (uid 65532)")
			listener.EOF().Prints(`heard ""`)
			listener.Ends(0)
			segment.EOF().Prints("holds nothing")
			segment.Ends(0)
		})
	}
}

// Two users meet where only one of them can make the FIFO, if its mode lets them.
func TestModeSaysWhoMaySend(t *testing.T) {
	needRoot(t)
	t.Parallel()
	for name, flag := range map[string]string{"fifo": "--path", "shm": "--fifo"} {
		for mode, code := range map[string]int{"0600": 1, "0666": 0} {
			t.Run(name+" "+mode, func(t *testing.T) {
				t.Parallel()
				dir := folder(t, attacker, 0o755)
				path := filepath.Join(dir, "fifo")
				server, client := []string{name + "-server", "--mode", mode}, []string{name + "-client", "hello"}
				flags := []string{flag, path}
				if name == "shm" {
					flags = append(flags, "--key-path", dir)
				}
				s := suitetest.StartCmd(t, "", as(attacker, with(server, flags...)))
				s.Await("waiting for a client")
				if code != 0 {
					run(t, code, as(victim, with(client, flags...)), "permission denied")
					s.Signal(syscall.SIGTERM)
					s.Exit(143)
					return
				}
				run(t, code, as(victim, with(client, flags...)))
				suitetest.Contains(t, s.Rest(), "hello")
				s.Exit(0)
			})
		}
	}
}

// A key that comes from a path can be guessed, and taken first: also by a segment
// that is then given to the victim, whose creator keeps his rights.
func TestSegmentMadeByAnotherUser(t *testing.T) {
	needRoot(t)
	t.Parallel()
	for what, owner := range map[string]int{"theirs": attacker, "given away": victim} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, victim, 0o755)
			// A server with its segment; the attacker's takes its place.
			server := suitetest.StartCmd(t, dir, as(victim, exec.Command("shm-server", "--keep-alive")))
			server.Await("serving")
			own, err := sysv.Open(keyOf(t, dir), 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := own.Remove(); err != nil {
				t.Fatal(err)
			}
			segment := startRole(t, attacker, "made", "segment", keyOf(t, dir).String(), fmt.Sprint(owner))
			run(t, 1, as(victim, exec.Command("shm-client", "--dir", dir, "secret")), "to another user", "choose another --proj-id")
			run(t, 1, as(victim, exec.Command("shm-server", "--dir", dir)), "a segment of another user", "choose another --proj-id")
			server.Signal(syscall.SIGTERM)
			server.Exit(143)
			segment.EOF().Prints("holds nothing")
			segment.Ends(0)
		})
	}
}
