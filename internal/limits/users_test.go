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
				if got := names(t, victims); got != nil {
					t.Errorf("the folder that was linked to holds %q", got)
				}
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
						server := start(t, as(victim, exec.Command("fifo-server", "--path", other)))
						server.logs("waiting for a client")
						defer server.signal(syscall.SIGTERM)
					} else {
						run(t, 0, as(victim, shell(`mkfifo -m 0600 "$1"`, other)))
					}
					if err := os.Link(other, filepath.Join(dir, name)); err != nil {
						t.Fatal(err)
					}
					server := start(t, as(victim, exec.Command("fifo-server", "--mode", "0666", "--path", filepath.Join(dir, "fifo"))))
					if state == "live" || name == ".fifo.new" {
						_, stderr := server.exits(1)
						contains(t, stderr, refusal)
					} else {
						server.logs("waiting for a client")
						server.signal(syscall.SIGTERM)
						server.exits(143)
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
			swapper := start(t, as(uid, fork.Command("swap", path, target, other)))
			swapper.says("swapping")
			const times = "1000"
			stdout, stderr := start(t, as(victim, fork.Command("create", path, times))).exits(0)
			t.Log(stderr)
			if stdout != "tried "+times+"\n" {
				t.Errorf("said %q", stdout)
			}
			swapper.exits(0)
			if info, err := os.Stat(other); err != nil || info.Mode() != os.ModeNamedPipe|0o600 {
				t.Errorf("the other FIFO: %v, %v; want mode 0600 as before", info.Mode(), err)
			}
			if got := names(t, target); got != nil {
				t.Errorf("the folder that was linked to holds %q", got)
			}
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
	server := start(t, as(victim, exec.Command("fifo-server", "--keep-alive", "--path", served)))
	server.logs("serving")
	locker := start(t, as(attacker, fork.Command("flock", dir)))
	locker.says("locked")

	waiting := make(map[string]*process)
	for name, server := range servers(path, dir) {
		waiting[name] = start(t, server)
	}
	t.Run("a signal ends the wait", func(t *testing.T) {
		server := start(t, as(victim, exec.Command("fifo-server", "--path", path)))
		awaitFlock(t, server.cmd.Process.Pid)
		server.signal(syscall.SIGINT)
		server.exits(130)
	})
	t.Run("clients keep to their time", func(t *testing.T) {
		run(t, 1, as(victim, exec.Command("fifo-client", "--path", path, "--wait", "100ms", "hello")), "no server within 100ms: start fifo-server")
	})
	t.Run("a server that is there is found", func(t *testing.T) {
		run(t, 0, as(victim, exec.Command("fifo-client", "--path", served, "hello")))
	})
	for name, server := range waiting {
		t.Run(name+" gives up", func(t *testing.T) {
			_, stderr := server.exits(1)
			contains(t, stderr, "another process keeps", dir, "locked", "lslocks(8)")
		})
	}
}

// awaitFlock returns when a thread of the process sleeps in flock(2).
func awaitFlock(t *testing.T, pid int) {
	t.Helper()
	run(t, 0, shell(`until grep -qs "^$2 " /proc/$1/task/*/syscall; do sleep 0.01; done`,
		fmt.Sprint(pid), fmt.Sprint(unix.SYS_FLOCK)))
}

// The victim's own dead FIFO looks served. That keeps its server from that path,
// and no more.
func TestPresenceFeignedByAnotherUser(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := sticky(t)
	path := filepath.Join(dir, "fifo")
	run(t, 0, as(victim, shell(`mkfifo -m 0600 "$1"`, path)))
	locker := start(t, as(attacker, fork.Command("presence", dir)))
	locker.says("locked")
	run(t, 1, as(victim, exec.Command("fifo-server", "--path", path)), "not visible from here", "choose another path")
	server := start(t, as(victim, exec.Command("fifo-server", "--path", path+"2")))
	server.logs("waiting for a client")
	run(t, 0, as(victim, exec.Command("fifo-client", "--path", path+"2", "hello")))
	server.exits(0)

	locker.exits(0)
	server = start(t, as(victim, exec.Command("fifo-server", "--path", path)))
	server.logs("took over a FIFO")
	server.signal(syscall.SIGTERM)
	server.exits(143)
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
			var live *process
			if state == "live" {
				live = start(t, as(victim, server))
				live.logs(waiting)
			}
			run(t, 1, as(attacker, exec.Command("fifo-server", "--path", path)), "it belongs to uid 65532")
			run(t, 1, as(attacker, exec.Command("fifo-client", "--path", path, "hello")), "permission denied")
			run(t, 1, as(attacker, fork.Command("flock", path)), "permission denied")
			run(t, 1, as(attacker, shell(`mkfifo "$1.mine"; mv -f "$1.mine" "$1"`, path)), "not permitted")
			run(t, 1, as(attacker, exec.Command("rm", "-f", path)), "not permitted")
			if state == "dead" {
				live = start(t, as(victim, server))
				live.logs(waiting)
			}
			live.signal(syscall.SIGTERM)
			live.exits(143)
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

func keyOf(t *testing.T, path string) string {
	t.Helper()
	key, err := sysv.Ftok(path, 306)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(int32(key))
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
				segment := start(t, as(attacker, fork.Command("segment", keyOf(t, dir), fmt.Sprint(attacker))))
				segment.says("made")
				client := clients(path, dir, flags...)[name]
				var waiting *process
				if flags != nil {
					waiting = start(t, client)
					waiting.logs("waiting for a server")
				}
				listener := start(t, as(attacker, fork.Command("listen", path)))
				listener.says("listening")
				if flags == nil {
					waiting = start(t, client)
				}
				_, stderr := waiting.exits(1)
				contains(t, stderr, path+" belongs to uid 65533", "nothing was sent")
				if out, _ := listener.exits(0); out != "heard \"\"\n" {
					t.Errorf("the attacker %s", out)
				}
				if out, _ := segment.exits(0); out != "holds nothing\n" {
					t.Errorf("the attacker's segment %s", out)
				}
			})
		}
	}
}

// A folder of the victim's own, where the sticky bit lets others make files.
func TestFIFOOfAnotherUserInDir(t *testing.T) {
	needRoot(t)
	t.Parallel()
	for name, file := range map[string]string{"fifo-client": "fifo.ipc", "shm-client": "shm.fifo"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, victim, 0o1777)
			segment := start(t, as(attacker, fork.Command("segment", keyOf(t, dir), fmt.Sprint(attacker))))
			segment.says("made")
			listener := start(t, as(attacker, fork.Command("listen", filepath.Join(dir, file))))
			listener.says("listening")
			run(t, 1, as(victim, exec.Command(name, "--dir", dir, "secret")), "belongs to uid 65533, not to you (uid 65532)")
			if out, _ := listener.exits(0); out != "heard \"\"\n" {
				t.Errorf("the attacker %s", out)
			}
			if out, _ := segment.exits(0); out != "holds nothing\n" {
				t.Errorf("the attacker's segment %s", out)
			}
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
				s := start(t, as(attacker, with(server, flags...)))
				s.logs("waiting for a client")
				if code != 0 {
					run(t, code, as(victim, with(client, flags...)), "permission denied")
					s.signal(syscall.SIGTERM)
					s.exits(143)
					return
				}
				run(t, code, as(victim, with(client, flags...)))
				out, _ := s.exits(0)
				contains(t, out, "hello")
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
			server := start(t, as(victim, exec.Command("shm-server", "--keep-alive", "--dir", dir)))
			server.logs("serving")
			key, err := sysv.Ftok(dir, 306)
			if err != nil {
				t.Fatal(err)
			}
			own, err := sysv.Open(key, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := own.Remove(); err != nil {
				t.Fatal(err)
			}
			segment := start(t, as(attacker, fork.Command("segment", keyOf(t, dir), fmt.Sprint(owner))))
			segment.says("made")
			run(t, 1, as(victim, exec.Command("shm-client", "--dir", dir, "secret")), "to another user", "choose another --proj-id")
			run(t, 1, as(victim, exec.Command("shm-server", "--dir", dir)), "a segment of another user", "choose another --proj-id")
			server.signal(syscall.SIGTERM)
			server.exits(143)
			if out, _ := segment.exits(0); out != "holds nothing\n" {
				t.Errorf("the attacker's segment %s", out)
			}
		})
	}
}
