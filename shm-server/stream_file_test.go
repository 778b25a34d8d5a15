package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"example.com/ipcsuite/internal/suitetest"
)

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
			client := streamFrom(t, dir, file, "--quiet")
			server.Writes(text[min(c.start, len(text)):])
			client.Exit(0)
			server.Ends(0)
			offsetIs(t, file, int64(max(c.start, len(text))))
			suitetest.Clean(t, dir)
		})
	}
}

// What counts is where the file ends when the client comes there.
func TestStreamOfFileThatChanges(t *testing.T) {
	const before = 8 << 20
	for name, after := range map[string]int{"shorter": 3<<20 + 5, "empty": 0, "longer": 9<<20 + 5} {
		t.Run(name, func(t *testing.T) {
			text := noise(max(before, after))
			file := fileOf(t, text[:before])
			dir, server, client := stuckIn(t, file, "--quiet")
			if err := file.Truncate(int64(after)); err != nil {
				t.Fatal(err)
			}
			if after > before {
				if _, err := file.WriteAt(text[before:], before); err != nil {
					t.Fatal(err)
				}
			}
			server.Signal(syscall.SIGCONT)
			server.Writes(text[:max(room, after)])
			client.Exit(0)
			server.Ends(0)
			offsetIs(t, file, int64(max(room, after)))
			suitetest.Clean(t, dir)
		})
	}
}

// However the client ends, the file is left where it has committed.
func TestStreamOfLargeFileEndsEarly(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, client, server *suitetest.Process){
		"the server is killed": func(t *testing.T, client, server *suitetest.Process) {
			server.Kill()
			suitetest.Contains(t, client.Await("the server has gone"), ": 0 bytes delivered of 1048576 read")
			client.Exit(1)
		},
		"a signal": func(t *testing.T, client, _ *suitetest.Process) {
			client.Signal(syscall.SIGINT)
			suitetest.Contains(t, client.Await("ended by signal SIGINT"), ": 0 bytes delivered of 1048576 read")
			client.Exit(128 + 2)
		},
		"the client is killed": func(_ *testing.T, client, _ *suitetest.Process) {
			client.Kill()
		},
	} {
		t.Run(name, func(t *testing.T) {
			text := noise(20 * room)
			file := fileOf(t, text)
			dir, server, client := stuckIn(t, file)
			end(t, client, server)
			offsetIs(t, file, room)
			if name != "the server is killed" {
				server.Signal(syscall.SIGCONT)
				server.Writes(text[:room])
				suitetest.Contains(t, server.Ends(1), "the client has gone in mid-stream: 1048576 bytes delivered")
				suitetest.Clean(t, dir)
			}
		})
	}
}

const room = 1 << 20 // size of the ring of stuckIn

// stuckIn starts a server, which it stops, and a client that sends a file. The ring
// has no room for more of it.
func stuckIn(t *testing.T, file *os.File, args ...string) (dir string, server, client *suitetest.Process) {
	t.Helper()
	dir, server = newServer(t, "--stream", "--size", fmt.Sprint(room))
	server.Stop()
	client = streamFrom(t, dir, file, args...)
	awaitRing(t, dir, committed, room)
	return dir, server, client
}

// fileOf returns an open file that holds text.
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
