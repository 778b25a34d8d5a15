package main

import (
	"context"

	"example.com/ipcsuite/pkg/fifo"
)

// stopWhenOrphaned stops a reader when its server was killed, which ends ctx (package
// fork). The reader sleeps in read(2), which only a message ends. So it sends itself the
// one that the server would have sent, and prints the messages before that. Where it
// cannot, package fork ends it a second later.
func stopWhenOrphaned(ctx context.Context, messages *fifo.SharedReader) {
	context.AfterFunc(ctx, func() { _ = messages.StopOne(context.WithoutCancel(ctx)) })
}
