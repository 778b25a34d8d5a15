package ring

import "testing"

// What both sides of a message cost in instructions, with no other processor.
func BenchmarkSendReceiveAlone(b *testing.B) {
	p := newPair(b, 1<<16)
	buf := make([]byte, 64)
	for b.Loop() {
		if err := p.w.Send(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := p.r.Receive(buf); err != nil {
			b.Fatal(err)
		}
	}
}
