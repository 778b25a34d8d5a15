package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/ring"
	"example.com/ipcsuite/pkg/sysv"
)

// noise returns bytes among which no two pieces are the same.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // documented never to fail
	return b
}

// writes waits until the server has written exactly these bytes.
func (p *process) writes(t *testing.T, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(p.out, got)
	if err != nil && len(want) > 0 {
		log, _ := io.ReadAll(p.log)
		t.Fatalf("wrote %d bytes of %d: %v\n%s", n, len(want), err, log)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("wrote other bytes")
	}
}

// feed writes to stdin what is not awaited to be taken.
func (p *process) feed(text []byte) {
	go func() {
		_, _ = p.in.Write(text) // it may end before it has read all
		p.in.Close()
	}()
}

func TestStreamIsWhole(t *testing.T) {
	for _, c := range []struct{ ring, length int }{
		{1, 0}, {1, 1}, {1, 999}, {2, 1001}, {3, 10_007}, {7, 1 << 12}, {4095, 300_007},
		{4096, 1 << 20}, {65_536, 5_000_011}, {1 << 20, 1 << 20}, {1 << 20, 12_345_677}, {1 << 26, 999_983},
	} {
		t.Run(fmt.Sprintf("%d bytes through %d", c.length, c.ring), func(t *testing.T) {
			dir, server := newServer(t, "--stream", "--size", fmt.Sprint(c.ring))
			client := start(t, dir, "shm-client", "--stream", "--quiet")
			text := noise(c.length)
			client.feed(text)
			server.writes(t, text)
			if log := client.ends(t, 0); log != "" {
				t.Errorf("with --quiet: %s", log)
			}
			contains(t, server.ends(t, 0), fmt.Sprintf("the stream has ended bytes=%d", c.length))
			mustBeClean(t, dir)
		})
	}
}

func TestStreamFromFileToFile(t *testing.T) {
	dir := newDir(t)
	text := noise(3_000_017)
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(in, text, 0o600); err != nil {
		t.Fatal(err)
	}
	const script = `shm-server --stream >"$2" & shm-client --stream --wait 20s <"$1" && wait $!`
	cmd := exec.Command("sh", "-c", script, "sh", in, out)
	cmd.Env = append(os.Environ(), "IPC_DIR="+dir)
	if log, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, text) {
		t.Fatalf("read %d bytes of %d, %v", len(got), len(text), err)
	}
	mustBeClean(t, dir)
}

// fileOf returns an open file with that in it.
func fileOf(t *testing.T, text []byte) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "in"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if _, err := f.WriteAt(text, 0); err != nil {
		t.Fatal(err)
	}
	return f
}

// offsetIs checks where in the file the next read(2) would begin.
func offsetIs(t *testing.T, f *os.File, want int64) {
	t.Helper()
	if got, err := f.Seek(0, io.SeekCurrent); got != want || err != nil {
		t.Errorf("offset %d, %v, want %d", got, err, want)
	}
}

// A large file is read in pieces of 256 KiB or a quarter of the ring, several at
// once.
func TestStreamOfLargeFile(t *testing.T) {
	const piece = 256 << 10
	for _, c := range []struct{ ring, length, start int }{
		{4 << 20, 4 * piece, 0}, {4 << 20, 4*piece - 1, 0}, {4 << 20, 4*piece + 1, 0},
		{4 << 20, 40*piece + 1, 1}, {4 << 20, 40*piece - 1, piece - 1}, {4 << 20, 5 * piece, 5 * piece}, {4 << 20, 5 * piece, 6 * piece},
		{256 << 10, 40*piece + 7, 3}, {1_000_003, 50*piece + 5, 4095}, {1 << 20, 64 * piece, 0},
		{256<<10 - 1, 5*piece + 7, 3}, {1000, 5 * piece, 0}, {64 << 20, 5*piece + 1, 1},
	} {
		t.Run(fmt.Sprintf("%d bytes from %d through %d", c.length, c.start, c.ring), func(t *testing.T) {
			dir, server := newServer(t, "--stream", "--size", fmt.Sprint(c.ring))
			text := noise(c.length)
			file := fileOf(t, text)
			if _, err := file.Seek(int64(c.start), io.SeekStart); err != nil {
				t.Fatal(err)
			}
			client := startOn(t, dir, file, nil, "shm-client", "--stream", "--quiet")
			server.writes(t, text[min(c.start, len(text)):])
			client.exits(t, 0)
			server.ends(t, 0)
			offsetIs(t, file, int64(max(c.start, len(text))))
			mustBeClean(t, dir)
		})
	}
}

// What counts is where the file ends when the client comes there.
func TestStreamOfFileThatChanges(t *testing.T) {
	const ring, before = 1 << 20, 8 << 20
	for name, after := range map[string]int{"shorter": 3<<20 + 5, "empty": 0, "longer": 9<<20 + 5} {
		t.Run(name, func(t *testing.T) {
			dir, server := newServer(t, "--stream", "--size", fmt.Sprint(ring))
			stop(t, server)
			text := noise(max(before, after))
			file := fileOf(t, text[:before])
			client := startOn(t, dir, file, nil, "shm-client", "--stream", "--quiet")
			awaitRing(t, dir, committed, ring)
			if err := file.Truncate(int64(after)); err != nil {
				t.Fatal(err)
			}
			if after > before {
				if _, err := file.WriteAt(text[before:], before); err != nil {
					t.Fatal(err)
				}
			}
			server.signal(t, syscall.SIGCONT)
			server.writes(t, text[:max(ring, after)])
			client.exits(t, 0)
			server.ends(t, 0)
			offsetIs(t, file, int64(max(ring, after)))
			mustBeClean(t, dir)
		})
	}
}

// However the client ends, the file is left where it has committed.
func TestStreamOfLargeFileEndsEarly(t *testing.T) {
	const ring = 1 << 20
	for name, end := range map[string]func(t *testing.T, client, server *process){
		"the server is killed": func(t *testing.T, client, server *process) {
			server.kill()
			contains(t, client.logs(t, "the server has gone"), ": 0 bytes delivered of 1048576 read")
			client.exits(t, 1)
		},
		"a signal": func(t *testing.T, client, _ *process) {
			client.signal(t, syscall.SIGINT)
			contains(t, client.logs(t, "ended by signal SIGINT"), ": 0 bytes delivered of 1048576 read")
			client.exits(t, 128+2)
		},
		"the client is killed": func(_ *testing.T, client, _ *process) {
			client.kill()
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, server := newServer(t, "--stream", "--size", fmt.Sprint(ring))
			stop(t, server)
			text := noise(20 * ring)
			file := fileOf(t, text)
			client := startOn(t, dir, file, nil, "shm-client", "--stream")
			awaitRing(t, dir, committed, ring)
			end(t, client, server)
			offsetIs(t, file, ring)
			if name != "the server is killed" {
				server.signal(t, syscall.SIGCONT)
				server.writes(t, text[:ring])
				contains(t, server.ends(t, 1), "the client has gone in mid-stream: 1048576 bytes delivered")
				mustBeClean(t, dir)
			}
		})
	}
}

func TestChecksumOnOneSide(t *testing.T) {
	text := noise(100_003)
	for _, c := range []struct {
		server, client []string
		says           string
	}{
		{nil, []string{"--no-checksum"}, "the client has no checksum: only the length was compared"},
		{[]string{"--no-checksum"}, nil, ""},
		{[]string{"--no-checksum"}, []string{"--no-checksum"}, ""},
	} {
		t.Run(fmt.Sprint("server ", c.server, " client ", c.client), func(t *testing.T) {
			dir, server := newServer(t, append(c.server, "--stream")...)
			client := start(t, dir, "shm-client", append(c.client, "--stream")...)
			client.feed(text)
			server.writes(t, text)
			contains(t, client.ends(t, 0), "delivered bytes=100003")
			contains(t, server.ends(t, 0), "bytes=100003", c.says)
		})
	}
}

func TestOnlyStreamsMeetStreams(t *testing.T) {
	t.Run("a client with messages", func(t *testing.T) {
		dir, server := newServer(t, "--stream")
		contains(t, start(t, dir, "shm-client", "hello").ends(t, 1), "its server wants a stream: use shm-client --stream")
		contains(t, start(t, dir, "shm-client", "--sync", "none", "hello").ends(t, 1), "wants a stream")
		client := start(t, dir, "shm-client", "--stream") // of the others the server has seen nothing
		client.say(t, "hello")
		server.prints(t, "hello")
		client.ends(t, 0)
		server.ends(t, 0)
	})
	t.Run("a server with messages", func(t *testing.T) {
		dir, server := newServer(t)
		contains(t, start(t, dir, "shm-client", "--stream").ends(t, 1), "its server wants messages: use shm-client without --stream")
		start(t, dir, "shm-client", "hello", "quit").ends(t, 0)
		server.prints(t, "hello", "quit")
		server.ends(t, 0)
	})
	t.Run("a ring that is too small", func(t *testing.T) {
		dir, server := newServer(t, "--stream", "--size", "100")
		contains(t, start(t, dir, "shm-client", "--stream", "--size", "101").ends(t, 1), "fewer than")
		start(t, dir, "shm-client", "--stream", "--size", "100").ends(t, 0)
		server.ends(t, 0)
	})
}

// A client that has to wait for its server cannot look before it comes.
func TestClientThatWaitsForAnotherServer(t *testing.T) {
	dir := newDir(t)
	client := start(t, dir, "shm-client", "--wait", "1h", "hello")
	client.logs(t, "waiting for a server")
	server := start(t, dir, "shm-server", "--stream")
	contains(t, client.ends(t, 1), "its server wants a stream")
	contains(t, server.ends(t, 1), "the client has gone in mid-stream: 0 bytes delivered")
	mustBeClean(t, dir)
}

func TestOneStreamAtATime(t *testing.T) {
	dir, server := newServer(t, "--stream")
	client := start(t, dir, "shm-client", "--stream")
	client.say(t, "hello")
	server.prints(t, "hello")
	contains(t, start(t, dir, "shm-client", "--stream").ends(t, 1), "another client streams to this server")
	client.say(t, "world")
	server.prints(t, "world")
	client.ends(t, 0)
	server.ends(t, 0)
}

func TestStreamingClientKilled(t *testing.T) {
	for name, lines := range map[string][]string{"before it has sent anything": nil, "in mid-stream": {"hello", "world"}} {
		t.Run(name, func(t *testing.T) {
			dir, server := newServer(t, "--stream")
			client := start(t, dir, "shm-client", "--stream", "--log-level", "debug")
			client.logs(t, "attached segment")
			if lines != nil {
				client.say(t, lines...)
			}
			server.prints(t, lines...)
			client.kill()
			contains(t, server.ends(t, 1), fmt.Sprintf("the client has gone in mid-stream: %d bytes delivered", 6*len(lines)))
			mustBeClean(t, dir)
		})
	}
}

// What a killed client has put into the ring is delivered.
func TestWhatAKilledClientHasSentIsDelivered(t *testing.T) {
	dir, server := newServer(t, "--stream")
	client := start(t, dir, "shm-client", "--stream")
	client.say(t, "first")
	server.prints(t, "first")
	awaitRing(t, dir, discarded, 6)
	stop(t, server)
	client.say(t, "last words")
	awaitRing(t, dir, committed, 17)
	client.kill()
	server.signal(t, syscall.SIGCONT)
	server.prints(t, "last words")
	contains(t, server.ends(t, 1), "the client has gone in mid-stream: 17 bytes delivered")
	mustBeClean(t, dir)
}

func TestStreamingServerKilled(t *testing.T) {
	t.Run("while the client waits for stdin", func(t *testing.T) {
		dir, server := newServer(t, "--stream")
		client := start(t, dir, "shm-client", "--stream")
		client.say(t, "hello")
		server.prints(t, "hello")
		awaitRing(t, dir, discarded, 6)
		stop(t, server)
		client.say(t, "more")
		awaitRing(t, dir, committed, 11)
		server.kill()
		contains(t, client.logs(t, "the server has gone"), "6 bytes delivered of 11 read")
		client.ends(t, 1)

		next := start(t, dir, "shm-server", "--stream")
		next.logs(t, "removed a segment that a dead server had left")
		next.logs(t, "took over a FIFO that a dead server had left")
		start(t, dir, "shm-client", "--stream", "--wait", "20s").ends(t, 0)
		next.ends(t, 0)
		mustBeClean(t, dir)
	})
	t.Run("while the client waits for room", func(t *testing.T) {
		dir, server := newServer(t, "--stream", "--size", "1000")
		client := start(t, dir, "shm-client", "--stream")
		client.say(t, "hello")
		server.prints(t, "hello")
		awaitRing(t, dir, discarded, 6)
		stop(t, server)
		client.feed(noise(10_000))
		awaitRing(t, dir, committed, 1006)
		server.kill()
		contains(t, client.ends(t, 1), "the server has gone", "6 bytes delivered of 1006 read")
	})
}

func TestSignalsEndTheStreamingServer(t *testing.T) {
	t.Run("while it waits for a client", func(t *testing.T) {
		dir, server := newServer(t, "--stream")
		server.signal(t, syscall.SIGTERM)
		server.ends(t, 128+15)
		mustBeClean(t, dir)
	})
	t.Run("while it waits for bytes", func(t *testing.T) {
		dir, server := newServer(t, "--stream")
		client := start(t, dir, "shm-client", "--stream")
		client.say(t, "hello")
		server.prints(t, "hello")
		awaitRing(t, dir, discarded, 6)
		server.signal(t, syscall.SIGINT)
		contains(t, server.ends(t, 128+2), "ended by signal SIGINT: 6 bytes delivered")
		contains(t, client.logs(t, "the server has gone"), "6 bytes delivered of 6 read")
		client.ends(t, 1)
		mustBeClean(t, dir)
	})
	t.Run("at full speed", func(t *testing.T) {
		dir := newDir(t)
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		zero, err := os.Open("/dev/zero")
		if err != nil {
			t.Fatal(err)
		}
		defer zero.Close()
		server := startOn(t, dir, nil, null, "shm-server", "--stream")
		server.logs(t, "in another terminal")
		client := startOn(t, dir, zero, nil, "shm-client", "--stream")
		awaitRing(t, dir, committed, 10<<20)
		server.signal(t, syscall.SIGTERM)
		contains(t, server.logs(t, "ended by signal SIGTERM"), "bytes delivered")
		contains(t, client.logs(t, "the server has gone"), "bytes delivered of")
		server.exits(t, 128+15)
		client.exits(t, 1)
		mustBeClean(t, dir)
	})
	t.Run("while stdout takes nothing", func(t *testing.T) {
		dir, server := newServer(t, "--stream")
		client := start(t, dir, "shm-client", "--stream")
		client.feed(noise(10 << 20))
		for !sleepsIn(t, server, "pipe_write") {
		}
		server.signal(t, syscall.SIGTERM)
		contains(t, server.logs(t, "ended by signal"), "bytes delivered, and some that stdout has not quite taken")
		server.exits(t, 128+15)
		client.logs(t, "the server has gone")
		client.exits(t, 1)
		mustBeClean(t, dir)
	})
}

func TestSignalsEndTheStreamingClient(t *testing.T) {
	t.Run("while it waits for stdin", func(t *testing.T) {
		dir, server := newServer(t, "--stream")
		client := start(t, dir, "shm-client", "--stream")
		client.say(t, "hello")
		server.prints(t, "hello")
		awaitRing(t, dir, discarded, 6)
		client.signal(t, syscall.SIGINT)
		contains(t, client.logs(t, "ended by signal SIGINT"), "6 bytes delivered of 6 read")
		client.ends(t, 128+2)
		contains(t, server.ends(t, 1), "the client has gone in mid-stream: 6 bytes delivered")
		mustBeClean(t, dir)
	})
	t.Run("while it waits for room", func(t *testing.T) {
		dir, server := newServer(t, "--stream", "--size", "1000")
		client := start(t, dir, "shm-client", "--stream")
		client.say(t, "hello")
		server.prints(t, "hello")
		awaitRing(t, dir, discarded, 6)
		stop(t, server)
		client.feed(noise(10_000))
		awaitRing(t, dir, committed, 1006)
		client.signal(t, syscall.SIGTERM)
		contains(t, client.ends(t, 128+15), "6 bytes delivered of 1006 read")
		server.signal(t, syscall.SIGCONT)
		server.writes(t, noise(1000))
		contains(t, server.ends(t, 1), "1006 bytes delivered")
		mustBeClean(t, dir)
	})
}

func TestStdoutOfAStreamFails(t *testing.T) {
	t.Run("no space", func(t *testing.T) {
		dir := newDir(t)
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer full.Close()
		server := startOn(t, dir, nil, full, "shm-server", "--stream")
		server.logs(t, "in another terminal")
		client := start(t, dir, "shm-client", "--stream")
		client.say(t, "hello")
		contains(t, server.logs(t, "no space left on device"), "write /dev/stdout", ": 0 bytes delivered")
		server.exits(t, 1)
		contains(t, client.logs(t, "the server has gone"), ": 0 bytes delivered of 6 read")
		client.exits(t, 1)
		mustBeClean(t, dir)
	})
	t.Run("nobody reads", func(t *testing.T) {
		dir, server := newServer(t, "--stream")
		client := start(t, dir, "shm-client", "--stream")
		client.say(t, "hello")
		server.prints(t, "hello")
		awaitRing(t, dir, discarded, 6)
		server.stdout.Close()
		client.say(t, "world")
		contains(t, server.logs(t, "broken pipe"), ": 6 bytes delivered")
		server.exits(t, 1)
		contains(t, client.logs(t, "the server has gone"), "6 bytes delivered of 12 read")
		client.exits(t, 1)
		mustBeClean(t, dir)
	})
}

func TestStdinOfAStreamFails(t *testing.T) {
	dir, server := newServer(t, "--stream")
	folder, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	client := startOn(t, dir, folder, nil, "shm-client", "--stream")
	contains(t, client.logs(t, "is a directory"), "read /dev/stdin", "0 bytes delivered of 0 read")
	client.exits(t, 1)
	contains(t, server.ends(t, 1), "the client has gone in mid-stream: 0 bytes delivered")
}

// impostor is a client that does what it likes.
type impostor struct {
	seg  *sysv.Segment
	gate *fifo.Writer
	ring *ring.Writer
}

func newImpostor(t *testing.T, dir string) impostor {
	t.Helper()
	key, err := sysv.Ftok(dir, 306)
	if err != nil {
		t.Fatal(err)
	}
	gate, err := fifo.OpenWriter(context.Background(), filepath.Join(dir, fifoName), fifo.NoWait)
	if err != nil {
		t.Fatal(err)
	}
	seg, err := sysv.Open(key, 0)
	if err == nil {
		err = seg.Attach()
	}
	if err != nil {
		t.Fatal(err)
	}
	w, err := ring.NewWriter(seg, gate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(w.Close(), seg.Detach(), gate.Close()) })
	return impostor{seg, gate, w}
}

// sends sends a text, and then says of it what it likes.
func (i impostor) sends(t *testing.T, text, end string) {
	t.Helper()
	if _, err := i.ring.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(i.ring.End(), i.ring.Flush()); err != nil {
		t.Fatal(err)
	}
	if end != "" {
		if _, err := i.gate.Write([]byte(end)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestServerComparesWithWhatWasSent(t *testing.T) {
	for _, c := range []struct{ name, end, says string }{
		{"other checksum", "end 6 xxh3 0000000000000000", "the stream has changed on its way: checksum 851d43285ed32c04, and 0000000000000000 when it was sent"},
		{"other length", "end 7 xxh3 851d43285ed32c04", "the stream has changed on its way: 6 bytes came of 7 sent"},
		{"other length, no checksum", "end 5", "the stream has changed on its way: 6 bytes came of 5 sent"},
		{"no end of a stream", "hello", `"hello" is not the end of a stream`},
		{"nothing", "", "the client has gone before it could say what it had sent"},
		{"no token", "end 6 xxh3 851d43285ed32c04", "the client has gone before it could say what it had sent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, server := newServer(t, "--stream")
			client := newImpostor(t, dir)
			client.sends(t, "hello\n", c.end)
			server.prints(t, "hello")
			if strings.Contains(c.says, "gone") {
				client.gate.Close()
			}
			contains(t, server.ends(t, 1), c.says, ": 6 bytes delivered")
			mustBeClean(t, dir)
		})
	}
}

func TestHostileClient(t *testing.T) {
	for _, c := range []struct{ name, word string }{
		{"more than the ring holds", "\xff\xff\xff\xff\xff\xff\xff\x7f"},
		{"less than has been read", "\x00\x00\x00\x00\x00\x00\x00\x00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, server := newServer(t, "--stream")
			client := newImpostor(t, dir)
			if _, err := client.ring.Write([]byte("hello\n")); err != nil {
				t.Fatal(err)
			}
			server.prints(t, "hello")
			store(t, client.seg, c.word, committed)
			_, _ = client.gate.Write([]byte{0}) // wakes the server if it sleeps
			contains(t, server.ends(t, 1), "ring corrupt", ": 6 bytes delivered")
			mustBeClean(t, dir)
		})
	}
}

// A server that does not agree does not take the last token.
func TestClientIsToldThatTheServerDoesNotAgree(t *testing.T) {
	dir := newDir(t)
	key, err := sysv.Ftok(dir, 306)
	if err != nil {
		t.Fatal(err)
	}
	seg, err := sysv.Create(key, 4096, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer seg.Remove()
	if err := errors.Join(seg.Attach(), ring.Format(seg)); err != nil {
		t.Fatal(err)
	}
	f, err := fifo.Create(context.Background(), filepath.Join(dir, fifoName), fifo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	client := start(t, dir, "shm-client", "--stream")
	client.feed([]byte("hello\n"))
	gate, err := f.OpenReader(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r, err := ring.NewReader(seg, gate)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.WriteTo(io.Discard); err != nil {
		t.Fatal(err)
	}
	var packet [fifo.Atomic]byte
	n := 1
	for n == 1 {
		if n, err = gate.Read(packet[:]); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(packet[:n]); got != "end 6 xxh3 851d43285ed32c04" {
		t.Errorf("the client says %q", got)
	}
	_ = errors.Join(r.Close(), gate.Close())
	f.Close()
	contains(t, client.ends(t, 1), "does not confirm that it is what was sent", "6 bytes delivered of 6 read")
}

func TestExplainOfAStream(t *testing.T) {
	dir, server := newServer(t, "--stream", "--explain", "--size", "1000")
	client := start(t, dir, "shm-client", "--stream", "--explain")
	client.say(t, "hello")
	server.prints(t, "hello")
	contains(t, client.ends(t, 0), "  ⇒ key ", "(write end)")
	contains(t, server.ends(t, 0), "size 1640,", "nattch 2,", "no such row")
}

// startOn starts a process on open files.
func startOn(t *testing.T, dir string, stdin, stdout *os.File, name string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "IPC_DIR="+dir)
	if stdin != nil {
		cmd.Stdin = stdin
	}
	if stdout != nil {
		cmd.Stdout = stdout
	}
	return launch(t, cmd)
}

// exits waits for the end of the process, whatever it has written.
func (p *process) exits(t *testing.T, code int) {
	t.Helper()
	_ = p.cmd.Wait() // the code tells
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("exit code %d, want %d", got, code)
	}
}

// The words of a ring that say how far it has come: how many bytes have been put
// into it, and how many have been written to stdout.
const (
	committed = 128
	discarded = 256
)

// awaitRing waits until a word of the ring says so much, or more.
func awaitRing(t *testing.T, dir string, word int, want uint64) {
	t.Helper()
	key, err := sysv.Ftok(dir, 306)
	if err != nil {
		t.Fatal(err)
	}
	seg, err := sysv.Open(key, 0)
	if err == nil {
		err = seg.AttachReadOnly()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer seg.Detach()
	for now := uint64(0); now < want; {
		if err := seg.Use(func(mem []byte) error {
			now = atomic.LoadUint64((*uint64)(unsafe.Pointer(&mem[word])))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}
