package main

import (
	"testing"

	"example.com/ipcsuite/internal/suitetest"
)

// A server is not disturbed by health checks, nor by other servers that find its FIFO
// served, even if many come at once.
func TestHealthChecksDisturbNobody(t *testing.T) {
	t.Parallel()
	dir, s := newServer(t)
	s.Await("waiting for a client")
	for range 5 {
		var healthy, second []*suitetest.Process
		for range 2 {
			healthy = append(healthy, startServer(t, dir, "health"))
			second = append(second, startServer(t, dir, "--keep-alive"))
		}
		for i := range healthy {
			healthy[i].Ends(0)
			second[i].Ends(1)
		}
	}
	startClient(t, dir, "hello").Ends(0)
	expectRest(t, s, 3, "hello")
	s.Exit(0)
	suitetest.Clean(t, dir, s)
}
