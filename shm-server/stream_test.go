package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"unsafe"

	"example.com/ipcsuite/internal/suitetest"
)

func TestStreamIsWhole(t *testing.T) {
	for _, c := range []struct{ ring, length int }{
		{1, 0}, {1, 1}, {1, 999}, {2, 1001}, {3, 10_007}, {7, 1 << 12}, {4095, 300_007},
		{4096, 1 << 20}, {65_536, 5_000_011}, {1 << 20, 1 << 20}, {1 << 20, 12_345_677}, {1 << 26, 999_983},
	} {
		t.Run(fmt.Sprintf("%d bytes through %d", c.length, c.ring), func(t *testing.T) {
			dir, server := newServer(t, "--stream", "--size", fmt.Sprint(c.ring))
			client := suitetest.Start(t, dir, "shm-client", "--stream", "--quiet")
			text := noise(c.length)
			feed(client, text)
			server.Writes(text)
			if log := client.Ends(0); log != "" {
				t.Errorf("with --quiet: %s", log)
			}
			suitetest.Contains(t, server.Ends(0), fmt.Sprintf("the stream has ended bytes=%d", c.length))
			suitetest.Clean(t, dir)
		})
	}
}

func TestStreamFromFileToFile(t *testing.T) {
	dir, files := suitetest.Dir(t), t.TempDir()
	text := noise(3_000_017)
	in, out := filepath.Join(files, "in"), filepath.Join(files, "out")
	if err := os.WriteFile(in, text, 0o600); err != nil {
		t.Fatal(err)
	}
	const script = `shm-server --stream >"$2" & shm-client --stream --wait 20s <"$1" && wait $!`
	suitetest.Start(t, dir, "sh", "-c", script, "sh", in, out).Ends(0)
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, text) {
		t.Fatalf("read %d bytes of %d, %v", len(got), len(text), err)
	}
	suitetest.Clean(t, dir)
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
			client := suitetest.Start(t, dir, "shm-client", append(c.client, "--stream")...)
			feed(client, text)
			server.Writes(text)
			suitetest.Contains(t, client.Ends(0), "delivered bytes=100003")
			suitetest.Contains(t, server.Ends(0), "bytes=100003", c.says)
		})
	}
}

func TestOnlyStreamsMeetStreams(t *testing.T) {
	t.Run("a client with messages", func(t *testing.T) {
		dir, server := newServer(t, "--stream")
		suitetest.Contains(t, suitetest.Start(t, dir, "shm-client", "hello").Ends(1), "its server wants a stream: use shm-client --stream")
		suitetest.Contains(t, suitetest.Start(t, dir, "shm-client", "--sync", "none", "hello").Ends(1), "wants a stream")
		client := suitetest.Start(t, dir, "shm-client", "--stream") // of the others the server has seen nothing
		client.Send("hello")
		server.Prints("hello")
		client.Ends(0)
		server.Ends(0)
	})
	t.Run("a server with messages", func(t *testing.T) {
		dir, server := newServer(t)
		suitetest.Contains(t, suitetest.Start(t, dir, "shm-client", "--stream").Ends(1), "its server wants messages: use shm-client without --stream")
		suitetest.Start(t, dir, "shm-client", "hello", "quit").Ends(0)
		server.Prints("hello", "quit")
		server.Ends(0)
	})
	t.Run("a ring that is too small", func(t *testing.T) {
		dir, server := newServer(t, "--stream", "--size", "100")
		suitetest.Contains(t, suitetest.Start(t, dir, "shm-client", "--stream", "--size", "101").Ends(1), "fewer than")
		suitetest.Start(t, dir, "shm-client", "--stream", "--size", "100").Ends(0)
		server.Ends(0)
	})
}

// A client that has to wait for its server cannot look before it comes.
func TestClientThatWaitsForAnotherServer(t *testing.T) {
	dir := suitetest.Dir(t)
	client := suitetest.Start(t, dir, "shm-client", "--wait", "1h", "hello")
	client.Await("waiting for a server")
	server := suitetest.Start(t, dir, "shm-server", "--stream")
	suitetest.Contains(t, client.Ends(1), "its server wants a stream")
	suitetest.Contains(t, server.Ends(1), "the client has gone in mid-stream: 0 bytes delivered")
	suitetest.Clean(t, dir)
}

func TestOneStreamAtATime(t *testing.T) {
	dir, server, client := newStream(t)
	suitetest.Contains(t, suitetest.Start(t, dir, "shm-client", "--stream").Ends(1), "another client streams to this server")
	client.Send("world")
	server.Prints("world")
	client.Ends(0)
	server.Ends(0)
}

func TestExplainOfAStream(t *testing.T) {
	dir, server := newServer(t, "--stream", "--explain", "--size", "1000")
	client := suitetest.Start(t, dir, "shm-client", "--stream", "--explain")
	client.Send("hello")
	server.Prints("hello")
	suitetest.Contains(t, client.Ends(0), "  ⇒ key ", "(write end)")
	log := server.Ends(0)
	suitetest.Contains(t, log, "size 1640,", "nattch 2,")
	// Which of the two detaches last, and so ends the segment, is chance.
	suitetest.Find(t, log, `⇒ (segment \d+ in /proc/sysvipc/shm: no such row|/proc/sysvipc/shm: key 0, .* nattch 1, )`)
}

// newStream starts a server and a client with --stream. A first line of 6 bytes has been
// delivered, and both wait for more.
func newStream(t *testing.T, args ...string) (dir string, server, client *suitetest.Process) {
	t.Helper()
	dir, server = newServer(t, append(args, "--stream")...)
	client = suitetest.Start(t, dir, "shm-client", "--stream")
	client.Send("hello")
	server.Prints("hello")
	awaitRing(t, dir, discarded, 6)
	return dir, server, client
}

// fillRing is newStream with a ring of 1000 bytes. The server is stopped. The client has
// filled the ring with text, and waits for room.
func fillRing(t *testing.T) (dir string, server, client *suitetest.Process, text []byte) {
	t.Helper()
	dir, server, client = newStream(t, "--size", "1000")
	server.Stop()
	text = noise(10_000)
	feed(client, text)
	awaitRing(t, dir, committed, 1006)
	return dir, server, client, text[:1000]
}

// streamFrom starts a client that streams from a file.
func streamFrom(t *testing.T, dir string, stdin *os.File, args ...string) *suitetest.Process {
	t.Helper()
	cmd := exec.Command("shm-client", append(args, "--stream")...)
	cmd.Stdin = stdin
	return suitetest.StartCmd(t, dir, cmd)
}

// streamTo starts a server that streams to a device.
func streamTo(t *testing.T, dir, device string) *suitetest.Process {
	t.Helper()
	stdout, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	cmd := exec.Command("shm-server", "--stream")
	cmd.Stdout = stdout
	server := suitetest.StartCmd(t, dir, cmd)
	server.Await("in another terminal")
	return server
}

// noise returns bytes among which no two pieces are the same.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // documented never to fail
	return b
}

// The offsets of the words of a ring that say how many bytes have been put into it, and
// how many have been written to stdout.
const (
	committed = 128
	discarded = 256
)

// awaitRing waits until a word of the ring says so much, or more.
func awaitRing(t *testing.T, dir string, word int, want uint64) {
	t.Helper()
	segment := attach(t, dir)
	defer segment.Detach()
	suitetest.Eventually(t, fmt.Sprintf("the word at %d of the ring is %d", word, want), func() (so bool) {
		if err := segment.Use(func(mem []byte) error {
			so = atomic.LoadUint64((*uint64)(unsafe.Pointer(&mem[word]))) >= want
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return so
	})
}
