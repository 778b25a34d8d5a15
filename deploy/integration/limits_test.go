package integration

import (
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/testcontainers/testcontainers-go"
)

// little is what docker run --memory 32m --memory-swap 32m --cpuset-cpus 0 gives.
func little() option {
	return testcontainers.WithHostConfigModifier(func(h *container.HostConfig) {
		h.Memory, h.MemorySwap = 32<<20, 32<<20
		h.CpusetCpus = "0"
	})
}

func TestLittleMemoryAndOneProcessor(t *testing.T) {
	forEachPair(t, func(t *testing.T, p pair) {
		server, client := p.start(t, newVolume(t), []option{little()}, little(), typing())
		client.typeLines()
		server.await("line 1000\n")
		client.stop()
		client.mustExit(143)
		server.mustExit(0, p.left)
		mustBeLines(t, p.messages(server))
	})
}
