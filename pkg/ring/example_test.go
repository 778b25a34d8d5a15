package ring_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/ring"
	"example.com/ipcsuite/pkg/sysv"
)

// A server copies to its output what a client's input is. Both are usually
// processes of their own.
func Example() {
	ctx := context.Background() // to cancel it would end every wait
	dir, err := os.MkdirTemp("", "ring")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "doorbell")

	// The server makes all, the FIFO last: a client that can open that finds
	// the ring too.
	seg, err := sysv.Create(sysv.Private, ring.Overhead+1<<20, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	if err := seg.Attach(); err != nil {
		log.Fatal(err)
	}
	if err := ring.Format(seg); err != nil {
		log.Fatal(err)
	}
	f, err := fifo.Create(ctx, path, fifo.Options{})
	if err != nil {
		log.Fatal(err)
	}
	client := make(chan error, 1)
	go func() { client <- sendAll(ctx, seg.ID(), path, strings.NewReader("hello\nhow are you?\n")) }()

	gate, err := f.OpenReader(ctx) // blocks until the client comes
	if err != nil {
		log.Fatal(err)
	}
	f.Close() // the client is to notice when gate is closed
	r, err := ring.NewReader(seg, gate)
	if err != nil {
		log.Fatal(err)
	}
	n, err := r.WriteTo(os.Stdout)
	if err != nil { // io.ErrUnexpectedEOF if the client has died
		log.Fatal(err)
	}
	fmt.Println(n, "bytes")
	if err := errors.Join(<-client, r.Close(), gate.Close(), seg.Detach(), seg.Remove()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// hello
	// how are you?
	// 19 bytes
}

func sendAll(ctx context.Context, id int, path string, src io.Reader) error {
	gate, err := fifo.OpenWriter(ctx, path, fifo.NoWait)
	if err != nil {
		return err
	}
	defer gate.Close()
	seg, err := sysv.OpenID(id)
	if err != nil {
		return err
	}
	if err := seg.Attach(); err != nil {
		return err
	}
	w, err := ring.NewWriter(seg, gate)
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := w.ReadFrom(src); err != nil {
		return err
	}
	if err := w.End(); err != nil {
		return err
	}
	if err := w.Flush(); err != nil { // until all has been taken
		return fmt.Errorf("%w: %d bytes not delivered", err, w.Undelivered())
	}
	return errors.Join(w.Close(), seg.Detach())
}

// In place: what is committed is what was put into the ring, without a copy on
// the way.
func ExampleWriter_Reserve() {
	w, r, closeAll := newRing()
	defer closeAll()

	space, err := w.Reserve()
	if err != nil {
		log.Fatal(err)
	}
	n := copy(space, "hello")
	if err := w.Commit(n); err != nil {
		log.Fatal(err)
	}

	bytes, err := r.Peek()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", bytes)
	if err := r.Discard(len(bytes)); err != nil {
		log.Fatal(err)
	}
	// Output: hello
}

func ExampleWriter_Send() {
	w, r, closeAll := newRing()
	defer closeAll()

	for _, message := range []string{"one", "", "three"} {
		if err := w.Send([]byte(message)); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.End(); err != nil {
		log.Fatal(err)
	}

	buf := make([]byte, 64)
	for {
		n, err := r.Receive(buf)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%q\n", buf[:n])
	}
	// Output:
	// "one"
	// ""
	// "three"
}

// newRing returns both sides of a ring in one process.
func newRing() (w *ring.Writer, r *ring.Reader, closeAll func()) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "ring")
	if err != nil {
		log.Fatal(err)
	}
	seg, err := sysv.Create(sysv.Private, ring.Overhead+4096, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(seg.Attach(), ring.Format(seg)); err != nil {
		log.Fatal(err)
	}
	f, err := fifo.Create(ctx, filepath.Join(dir, "doorbell"), fifo.Options{})
	if err != nil {
		log.Fatal(err)
	}
	out, err := fifo.OpenWriter(ctx, filepath.Join(dir, "doorbell"), fifo.NoWait)
	if err != nil {
		log.Fatal(err)
	}
	in, err := f.OpenReader(ctx)
	if err != nil {
		log.Fatal(err)
	}
	f.Close()
	if w, err = ring.NewWriter(seg, out); err != nil {
		log.Fatal(err)
	}
	if r, err = ring.NewReader(seg, in); err != nil {
		log.Fatal(err)
	}
	return w, r, func() {
		if err := errors.Join(w.Close(), r.Close(), out.Close(), in.Close(), seg.Detach(), seg.Remove(), os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}
}
