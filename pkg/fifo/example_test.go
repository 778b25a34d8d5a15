package fifo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/fork"
)

// A server makes the FIFO and reads what its clients write. Each Write is one
// message, and comes out of one Read.
func Example() {
	ctx := context.Background()
	path := filepath.Join(os.TempDir(), fmt.Sprintf("fifo-example-%d", os.Getpid()))
	server, err := fifo.Create(ctx, path, fifo.Options{Mode: 0o600})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Remove()

	go client(ctx, path)

	messages, err := server.OpenReader(ctx) // blocks until a client has come
	if err != nil {
		log.Fatal(err)
	}
	defer messages.Close()
	buf := make([]byte, fifo.Atomic)
	for {
		n, err := messages.Read(buf)
		if errors.Is(err, io.EOF) {
			fmt.Println("the last client has left")
			return
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%q\n", buf[:n])
	}
	// Output:
	// "hello"
	// "how are you?"
	// the last client has left
}

func client(ctx context.Context, path string) {
	w, err := fifo.OpenWriter(ctx, path, fifo.WaitPath) // blocks until there is a server
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	for _, text := range []string{"hello", "how are you?"} {
		if _, err := w.Write([]byte(text)); err != nil {
			log.Fatal(err)
		}
	}
}

// Reader processes share one read end, which they inherit. What each runs is
// the role "reader" of package fork.
func ExampleFIFO_Shared() {
	ctx := context.Background()
	server, err := fifo.Create(ctx, filepath.Join(os.TempDir(), fmt.Sprintf("fifo-shared-%d", os.Getpid())), fifo.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Remove()
	client, err := fifo.OpenWriter(ctx, server.Path(), fifo.NoWait)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for i := range 5 {
		fmt.Fprintf(client, "message %d", i)
	}

	shared, word, err := server.Shared()
	if err != nil {
		log.Fatal(err)
	}
	defer shared.Close()
	reader := fork.Command("reader", word)
	reader.ExtraFiles = []*os.File{shared}
	reader.Stdout = os.Stdout
	if err := reader.Start(); err != nil {
		log.Fatal(err)
	}
	if err := server.StopReaders(ctx, 1); err != nil { // when it has read all
		log.Fatal(err)
	}
	if err := reader.Wait(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// message 0
	// message 1
	// message 2
	// message 3
	// message 4
	// readers stopped
}

// reader is what each reader process runs.
func reader(_ context.Context, args []string) int {
	messages, err := fifo.NewSharedReader(fork.FD(0), args[0])
	if err != nil {
		log.Fatal(err)
	}
	for {
		text, err := messages.Next()
		if err != nil { // io.EOF or fifo.ErrStopped
			fmt.Println(err)
			return 0
		}
		fmt.Println(string(text))
	}
}

// Who serves a FIFO can be asked without disturbing anybody.
func ExampleLive() {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("fifo-live-%d", os.Getpid()))
	server, err := fifo.Create(context.Background(), path, fifo.Options{})
	if err != nil {
		log.Fatal(err)
	}
	var live *fifo.LiveError
	if errors.As(fifo.Live(path), &live) {
		fmt.Println("served by this process:", live.PIDs[0] == os.Getpid())
	}
	server.Close() // as if it had been killed: the name stays
	fmt.Println("served:", fifo.Live(path) != nil)

	server, err = fifo.Create(context.Background(), path, fifo.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Remove()
	fmt.Println("replaced:", server.Replaced())
	// Output:
	// served by this process: true
	// served: false
	// replaced: true
}

// What a server has not read when it dies is lost, and the client can tell how
// much that is.
func ExampleWriter_Unread() {
	ctx := context.Background()
	server, err := fifo.Create(ctx, filepath.Join(os.TempDir(), fmt.Sprintf("fifo-unread-%d", os.Getpid())), fifo.Options{})
	if err != nil {
		log.Fatal(err)
	}
	client, err := fifo.OpenWriter(ctx, server.Path(), fifo.NoWait)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for range 3 {
		fmt.Fprint(client, "hello")
	}
	if _, err := server.TryRead(make([]byte, fifo.Atomic)); err != nil {
		log.Fatal(err)
	}
	if err := server.Remove(); err != nil {
		log.Fatal(err)
	}

	_, err = fmt.Fprint(client, "hello")
	lost, _ := client.Unread()
	fmt.Println("broken pipe:", errors.Is(err, unix.EPIPE))
	fmt.Println("lost before it:", lost)
	// Output:
	// broken pipe: true
	// lost before it: 2
}
