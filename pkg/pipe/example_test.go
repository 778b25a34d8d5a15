package pipe_test

import (
	"fmt"
	"io"
	"log"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/pipe"
)

// Each write is one packet and each read returns one, with nothing added.
func Example() {
	r, w, err := pipe.New(unix.O_DIRECT)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	for i := range 3 {
		fmt.Fprintf(w, "message %d", i)
	}
	w.Close()

	packet := make([]byte, pipe.Atomic)
	for {
		n, err := r.Read(packet)
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%q\n", packet[:n])
	}
	// Output:
	// "message 0"
	// "message 1"
	// "message 2"
}

// A pipe has as many slots as pages, and the number of pages is a power of two.
func ExampleSetCapacity() {
	r, w, err := pipe.New(0)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	defer w.Close()

	got, err := pipe.SetCapacity(int(w.Fd()), 200_000)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("asked for 200000 bytes, got", got)

	_, err = pipe.SetCapacity(int(w.Fd()), 0)
	fmt.Println("at least one, please:", err != nil)
	// Output:
	// asked for 200000 bytes, got 262144
	// at least one, please: true
}

// A FIFO or pipe that somebody else made can be switched later. What was written
// before is a stream, so switch before the first write.
func ExampleSetPacketMode() {
	r, w, err := pipe.New(0)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	defer w.Close()

	if err := pipe.SetPacketMode(int(w.Fd()), true); err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(w, "first")
	fmt.Fprint(w, "second")

	buf := make([]byte, pipe.Atomic)
	n, err := r.Read(buf)
	if err != nil {
		log.Fatal(err)
	}
	left, err := pipe.Buffered(int(r.Fd()))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q, and %d bytes to come\n", buf[:n], left)
	// Output:
	// "first", and 6 bytes to come
}

// Bytes go from one pipe to the next without being read.
func ExampleSplice() {
	srcR, srcW, err := pipe.New(0)
	if err != nil {
		log.Fatal(err)
	}
	dstR, dstW, err := pipe.New(0)
	if err != nil {
		log.Fatal(err)
	}
	defer srcR.Close()
	defer dstR.Close()

	fmt.Fprint(srcW, "passed on unseen")
	srcW.Close()
	for {
		n, err := pipe.Splice(int(dstW.Fd()), int(srcR.Fd()), 1<<20)
		if err != nil {
			log.Fatal(err)
		}
		if n == 0 { // end of file
			break
		}
	}
	dstW.Close()

	b, err := io.ReadAll(dstR)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", b)
	// Output:
	// passed on unseen
}
