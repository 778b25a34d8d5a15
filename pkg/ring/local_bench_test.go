package ring

import (
	"testing"

	"example.com/ipcsuite/pkg/internal/ipctest"
)

// What both sides of a message cost in instructions, with no other processor.
func BenchmarkSendReceiveAlone(b *testing.B) {
	p := newPair(b, 1<<16)
	buf := make([]byte, 64)
	for b.Loop() {
		ipctest.Must(b, p.w.Send(buf))
		if _, err := p.r.Receive(buf); err != nil {
			b.Fatal(err)
		}
	}
}
