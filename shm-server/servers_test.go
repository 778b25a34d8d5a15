package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"example.com/ipcsuite/internal/suitetest"
)

func TestSecondServerIsRefused(t *testing.T) {
	dir, server := newServer(t, "--keep-alive")
	live := fmt.Sprint("live process ", server.PID())
	suitetest.Contains(t, suitetest.Start(t, dir, "shm-server").Ends(1), live)
	t.Run("with another FIFO", func(t *testing.T) {
		other := filepath.Join(dir, "other.fifo")
		suitetest.Contains(t, suitetest.Start(t, dir, "shm-server", "--fifo", other).Ends(1), live)
	})
	t.Run("with another key", func(t *testing.T) {
		suitetest.Contains(t, suitetest.Start(t, dir, "shm-server", "--proj-id", "7").Ends(1), live)
		if left, err := suitetest.Segments(dir, 7); len(left) > 0 || err != nil {
			t.Errorf("left: segments %v, %v", left, err)
		}
	})
	suitetest.Start(t, dir, "shm-client", "hello", "quit").Ends(0)
	server.Prints("hello", "quit")
	server.Ends(0)
}

func TestOneOfTwoServersThatStartAtOnce(t *testing.T) {
	serves := func(stderr []byte) bool { return bytes.Contains(stderr, []byte("run shm-client")) }
	for range 10 {
		dir := suitetest.Dir(t)
		var serving []*suitetest.Process
		for _, p := range []*suitetest.Process{suitetest.Start(t, dir, "shm-server"), suitetest.Start(t, dir, "shm-server")} {
			if p.Stderr.Await(time.After(suitetest.Limit), serves) {
				serving = append(serving, p)
				continue
			}
			suitetest.Contains(t, p.Ends(1), "live process")
		}
		if len(serving) != 1 {
			t.Fatalf("%d servers", len(serving))
		}
		suitetest.Start(t, dir, "shm-client", "quit").Ends(0)
		serving[0].Prints("quit")
		serving[0].Ends(0)
		suitetest.Clean(t, dir)
	}
}
