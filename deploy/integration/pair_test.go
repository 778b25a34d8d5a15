package integration

import (
	"fmt"
	"regexp"
	"testing"
)

// pair is a server and its client. What follows holds for messages through a
// FIFO as for those through shared memory.
type pair struct {
	server, client string
	printed        *regexp.Regexp // how the server prints a message
	left           string         // what it says of a client that has left
	gate           []string       // flags that name what is shared, by its path
	missing        string         // what a client says who finds no server
	deserted       string         // what it says when its server is killed
	readers        int            // processes that may have messages in hand when they are killed
}

func pairs() map[string]pair {
	return map[string]pair{
		"fifo": {
			server: "fifo-server", client: "fifo-client",
			printed: regexp.MustCompile(`(?m)^\[ \d+ \] client say : (.*)$`),
			left:    "read end of file, client quit, server quit too",
			gate:    []string{"--path", meeting + "/fifo.ipc"},
			missing: "no such file or directory: start fifo-server",
			// It finds out when it writes, and so has a message in hand.
			deserted: "messages not delivered: ",
			readers:  3,
		},
		"shm": {
			server: "shm-server", client: "shm-client",
			printed:  regexp.MustCompile(`(?m)^([^|\n]*)$`), // all that is not in the log
			left:     "the client has left",
			gate:     []string{"--key-path", meeting, "--fifo", meeting + "/shm.fifo"},
			missing:  "no such segment",
			deserted: "the server has gone",
		},
	}
}

// messages are those that the server has printed, in order.
func (p pair) messages(server *docker) []string {
	server.t.Helper()
	var texts []string
	for _, m := range p.printed.FindAllStringSubmatch(server.output(), -1) {
		if m[1] != "" {
			texts = append(texts, m[1])
		}
	}
	return texts
}

// forEachPair runs a test for FIFO and shared memory, in parallel.
func forEachPair(t *testing.T, test func(t *testing.T, p pair)) {
	t.Parallel()
	for name, p := range pairs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

// start starts a server, with options of its own, and then a client that shares the
// volume and the server's namespace.
func (p pair) start(t *testing.T, volume string, ofServer []option, ofClient ...option) (server, client *docker) {
	t.Helper()
	server = start(t, p.server, append([]option{sharing(volume), ipc(shareable)}, ofServer...)...)
	client = start(t, p.client, append([]option{sharing(volume), server.namespace()}, ofClient...)...)
	return server, client
}

func TestMessageFromContainerToContainer(t *testing.T) {
	t.Run("server first", func(t *testing.T) {
		forEachPair(t, func(t *testing.T, p pair) {
			server, client := p.start(t, newVolume(t), nil, args("a message"))
			client.mustExit(0)
			server.mustExit(0, "a message", p.left)
		})
	})
	t.Run("client first", func(t *testing.T) {
		forEachPair(t, func(t *testing.T, p pair) {
			volume := newVolume(t)
			client := start(t, p.client, sharing(volume), ipc(shareable), args("--wait", "1m", "a message"))
			client.await("waiting for a server")
			server := start(t, p.server, sharing(volume), client.namespace(), toTheEnd())
			client.mustExit(0)
			server.mustExit(0, "a message", p.left)
		})
	})
}

func TestVolumeThatIsNotShared(t *testing.T) {
	forEachPair(t, func(t *testing.T, p pair) {
		server := start(t, p.server, sharing(newVolume(t)), ipc(shareable))
		client := start(t, p.client, sharing(newVolume(t)), server.namespace(), args("a message"))
		client.mustExit(1, p.missing)
		if got := p.messages(server); got != nil {
			t.Errorf("the server has printed %q", got)
		}
	})
}

func TestServerKilledInMidTransfer(t *testing.T) {
	forEachPair(t, func(t *testing.T, p pair) {
		volume := newVolume(t)
		server, client := p.start(t, volume, nil, typing())
		client.typeLines()
		server.await("line 100")
		server.kill()
		client.mustExit(1, p.deserted)
		if p.readers > 0 {
			mustBeDistinct(t, p.messages(server), p.readers)
		} else {
			mustBeLines(t, p.messages(server))
		}

		server.restart()
		server.mustHavePrinted("took over a FIFO that a dead server had left")
		again := start(t, p.client, sharing(volume), server.namespace(), args("after the restart"))
		again.mustExit(0)
		server.mustExit(0, "after the restart")
	})
}

func TestClientKilledInMidTransfer(t *testing.T) {
	forEachPair(t, func(t *testing.T, p pair) {
		server, client := p.start(t, newVolume(t), nil, typing())
		client.typeLines()
		server.await("line 100")
		client.kill()
		server.mustExit(0, p.left)
		mustBeLines(t, p.messages(server))
	})
}

func TestClientKilledAndStartedAgain(t *testing.T) {
	forEachPair(t, func(t *testing.T, p pair) {
		server, client := p.start(t, newVolume(t), []option{args("--keep-alive")}, typing())
		client.typeLines()
		server.await("line 100\n")
		client.kill()
		client.restart()
		client.typeLines()
		server.awaitTimes(2, "line 100\n")
		server.stop()
		server.mustExit(143)
	})
}

// mustBeLines checks that what was printed is what [docker.typeLines] has
// typed up to some line: each once and whole. Three readers may print them in
// another order.
func mustBeLines(t *testing.T, got []string) {
	t.Helper()
	seen := make(map[string]int)
	for _, text := range got {
		seen[text]++
	}
	for n := range len(got) {
		if text := fmt.Sprint("line ", n+1); seen[text] != 1 {
			t.Errorf("%q was printed %d times", text, seen[text])
		}
	}
}

// mustBeDistinct checks that no message was printed twice. What readers had in
// hand when they were killed is missing, and the last line of each may be cut,
// and so look like another.
func mustBeDistinct(t *testing.T, got []string, readers int) {
	t.Helper()
	seen := make(map[string]int)
	twice := 0
	for _, text := range got {
		if seen[text]++; seen[text] > 1 {
			twice++
		}
	}
	if twice > readers {
		t.Errorf("of %d messages %d were printed more than once", len(got), twice)
	}
}

func TestUsers(t *testing.T) {
	const server, other = "65532:70000", "65533:70000"
	t.Run("are kept apart by the default mode", func(t *testing.T) {
		forEachPair(t, func(t *testing.T, p pair) {
			_, client := p.start(t, newVolume(t), []option{user(server)}, user(other),
				args(append(p.gate, "a message")...))
			client.mustExit(1, "permission denied")
		})
	})
	t.Run("of one group meet with mode 0660", func(t *testing.T) {
		forEachPair(t, func(t *testing.T, p pair) {
			server, client := p.start(t, newVolume(t), []option{user(server), args("--mode", "0660")}, user(other),
				args(append(p.gate, "a message")...))
			client.mustExit(0)
			server.mustExit(0, "a message")
		})
	})
}

// As process 1 of a container a program is not ended by a signal that it does
// not handle, and docker stop would have to kill it.
func TestStop(t *testing.T) {
	t.Parallel()
	t.Run("pipe-demo", func(t *testing.T) {
		t.Parallel()
		demo := start(t, "pipe-demo", args("--interval", "1h"))
		demo.await("I am father process : 0")
		demo.stop()
		demo.mustExit(143)
	})
	t.Run("servers that wait", func(t *testing.T) {
		forEachPair(t, func(t *testing.T, p pair) {
			server := start(t, p.server, sharing(newVolume(t)))
			server.stop()
			server.mustExit(143, "removed FIFO")
		})
	})
	t.Run("clients that wait for a server", func(t *testing.T) {
		forEachPair(t, func(t *testing.T, p pair) {
			client := start(t, p.client, sharing(newVolume(t)), args("--wait", "1h"))
			client.await("waiting for a server")
			client.stop()
			client.mustExit(143)
		})
	})
	t.Run("client, then server, in mid-transfer", func(t *testing.T) {
		forEachPair(t, func(t *testing.T, p pair) {
			server, client := p.start(t, newVolume(t), []option{args("--keep-alive")}, typing())
			client.typeLines()
			server.await("line 100")
			client.stop()
			client.mustExit(143)
			server.stop()
			server.mustExit(143, "removed FIFO")
			mustBeLines(t, p.messages(server))
		})
	})
}
