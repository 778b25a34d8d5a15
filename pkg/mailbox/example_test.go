package mailbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/mailbox"
	"example.com/ipcsuite/pkg/sysv"
)

// A server receives what a client sends until the client leaves. Both are
// usually processes of their own.
func Example() {
	ctx := context.Background() // to cancel it would end every wait
	dir, err := os.MkdirTemp("", "mailbox")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "gate")

	// The server makes both, first the segment: a client that can open the
	// FIFO then finds the segment too.
	slot, err := sysv.Create(sysv.Private, 4096, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	f, err := fifo.Create(ctx, path, fifo.Options{})
	if err != nil {
		log.Fatal(err)
	}
	client := make(chan error, 1)
	go func() { client <- sendGreetings(ctx, slot.ID(), path) }()

	if err := slot.AttachReadOnly(); err != nil {
		log.Fatal(err)
	}
	gate, err := f.OpenReader(ctx) // blocks until the client comes
	if err != nil {
		log.Fatal(err)
	}
	r, err := mailbox.NewReader(slot, gate)
	if err != nil {
		log.Fatal(err)
	}
	for {
		text, err := r.Receive()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", text)
	}
	if err := errors.Join(<-client, gate.Close(), f.Remove(), slot.Detach(), slot.Remove()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// hello
	// how are you?
}

func sendGreetings(ctx context.Context, id int, path string) error {
	gate, err := fifo.OpenWriter(ctx, path, fifo.NoWait)
	if err != nil {
		return err
	}
	defer gate.Close()
	slot, err := sysv.OpenID(id)
	if err != nil {
		return err
	}
	if err := slot.Attach(); err != nil {
		return err
	}
	w, err := mailbox.NewWriter(slot, gate)
	if err != nil {
		return err
	}
	for _, text := range []string{"hello", "how are you?"} {
		if err := w.Send([]byte(text)); err != nil {
			return fmt.Errorf("%w: %d not delivered", err, 1+w.Undelivered())
		}
	}
	if err := w.Flush(); err != nil { // until the last has been taken
		return fmt.Errorf("%w: %d not delivered", err, w.Undelivered())
	}
	return slot.Detach()
}
