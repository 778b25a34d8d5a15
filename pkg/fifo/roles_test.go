package fifo_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/fork"
	"example.com/ipcsuite/pkg/internal/ipctest"
)

// roles are what children do, each with the path of a FIFO as first argument.
// Most say what they have done, live on until their stdin ends, and say more.
var roles = fork.Roles{
	"serve":      ipctest.Role(serve),
	"mode":       ipctest.Role(mode),
	"read":       ipctest.Role(read),
	"hold":       ipctest.Role(hold),
	"raw reader": ipctest.Role(rawReader),
	"raw writer": ipctest.Role(rawWriter),
	"write":      ipctest.Role(write),
	"burst":      ipctest.Role(burst),
	"sigpipe":    ipctest.Role(sigpipe),
	"shared":     ipctest.Role(shared),
	"echo":       ipctest.Role(echo),
	"drain":      ipctest.Role(drain),

	"shut without descriptors": ipctest.Role(shutWithoutDescriptors),

	"reader": reader, // of the example
	"live":   ipctest.Role(live),
	// the same with a /proc of its own
	"live in namespace": ipctest.Role(func(args []string) error {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("make mounts private: %w", err)
		}
		if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
			return fmt.Errorf("mount /proc: %w", err)
		}
		return live(args)
	}),
}

// serve makes the FIFO and removes it when it is told to end. It says which
// other it has met.
func serve(args []string) error {
	f, err := fifo.Create(context.Background(), args[0], fifo.Options{})
	var live *fifo.LiveError
	switch {
	case errors.As(err, &live):
		fmt.Println("live:", live.PIDs)
		ipctest.StdinEnds()
		return nil
	case err != nil:
		return err
	}
	fmt.Println("serving, replaced:", f.Replaced())
	ipctest.StdinEnds()
	return f.Remove()
}

// mode makes the FIFO under a umask and says what mode it has.
func mode(args []string) error {
	number := func(s string) int {
		n, err := strconv.ParseInt(s, 8, 32)
		if err != nil {
			panic(err)
		}
		return int(n)
	}
	unix.Umask(number(args[1]))
	f, err := fifo.Create(context.Background(), args[0], fifo.Options{
		Mode:  fs.FileMode(number(args[2])),
		Umask: args[3] == "honour",
	})
	if err != nil {
		return err
	}
	defer f.Remove()
	info, err := os.Lstat(args[0])
	if err != nil {
		return err
	}
	fmt.Printf("%04o\n", info.Mode().Perm())
	return nil
}

// read opens the FIFO and prints its messages, quoted.
func read(args []string) error {
	return forEach(args[0], func(text []byte) { fmt.Printf("%q\n", text) })
}

// drain opens the FIFO and reads to the end of file.
func drain(args []string) error { return forEach(args[0], func([]byte) {}) }

// forEach opens the FIFO for reading, and calls do with each message.
func forEach(path string, do func(text []byte)) error {
	r, err := fifo.OpenReader(context.Background(), path)
	if err != nil {
		return err
	}
	fmt.Println("open")
	buf := make([]byte, fifo.Atomic)
	for {
		n, err := r.Read(buf)
		if errors.Is(err, io.EOF) {
			fmt.Println("end of file")
			return nil
		}
		if err != nil {
			return err
		}
		do(buf[:n])
	}
}

// rawReader is a program that blocks in open(2), as the article's does.
func rawReader(args []string) error {
	fmt.Println("opening")
	fd, err := unix.Open(args[0], unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	fmt.Println("open")
	buf := make([]byte, 1023)
	for {
		n, err := unix.Read(fd, buf)
		if err != nil {
			return err
		}
		fmt.Printf("%q\n", buf[:n])
		if n == 0 {
			return nil
		}
	}
}

// rawWriter writes each argument, as a stream.
func rawWriter(args []string) error {
	fmt.Println("opening")
	fd, err := unix.Open(args[0], unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	fmt.Println("open")
	for _, text := range args[1:] {
		if _, err := unix.Write(fd, []byte(text)); err != nil {
			return err
		}
	}
	ipctest.StdinEnds()
	return nil
}

// write waits for a reader and sends each argument, as a message.
func write(args []string) error {
	fmt.Println("opening")
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		ipctest.StdinEnds()
		cancel(errors.New("told to end"))
	}()
	w, err := fifo.OpenWriter(ctx, args[0], fifo.WaitPath)
	if err != nil {
		return err
	}
	fmt.Println("open")
	for _, text := range args[1:] {
		if _, err := w.Write([]byte(text)); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

// burst sends messages numbered from args[1], args[2] in number.
func burst(args []string) error {
	w, err := fifo.OpenWriter(context.Background(), args[0], fifo.WaitPath)
	if err != nil {
		return err
	}
	first, _ := strconv.Atoi(args[1])
	count, _ := strconv.Atoi(args[2])
	var buf []byte
	for i := first; i < first+count; i++ {
		buf = numbered(buf[:0], i)
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// numbered appends a message that holds i and says by its length and its bytes
// if it is whole.
func numbered(buf []byte, i int) []byte {
	size := 4 + i*7919%700
	if i%1000 == 0 {
		size = fifo.Atomic
	}
	buf = binary.BigEndian.AppendUint32(buf, uint32(i))
	for len(buf) < size {
		buf = append(buf, byte(i))
	}
	return buf
}

// number returns what numbered was given.
func number(text []byte) (int, error) {
	if len(text) < 4 {
		return 0, fmt.Errorf("message of %d bytes", len(text))
	}
	i := int(binary.BigEndian.Uint32(text))
	if string(text) != string(numbered(nil, i)) {
		return 0, fmt.Errorf("message %d is not whole: %d bytes", i, len(text))
	}
	return i, nil
}

// shared is a reader process of several: args are the word, and what to say of
// each message, "quote" or "number".
func shared(args []string) error {
	r, err := fifo.NewSharedReader(fork.FD(0), args[0])
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	fmt.Fprintln(out, "ready")
	for {
		text, err := r.TryNext()
		if errors.Is(err, unix.EAGAIN) {
			out.Flush()
			text, err = r.Next()
		}
		switch {
		case errors.Is(err, io.EOF):
			fmt.Fprintln(out, "end of file")
			return nil
		case err != nil:
			return err
		case args[1] == "quote":
			fmt.Fprintf(out, "%q\n", text)
		default:
			i, err := number(text)
			if err != nil {
				return err
			}
			fmt.Fprintln(out, i)
		}
	}
}

// sigpipe writes into a FIFO whose only reader has gone.
func sigpipe(args []string) error {
	f, err := fifo.Create(context.Background(), args[0], fifo.Options{})
	if err != nil {
		return err
	}
	w, err := fifo.OpenWriter(context.Background(), args[0], fifo.NoWait)
	if err != nil {
		return err
	}
	if err := f.Remove(); err != nil {
		return err
	}
	_, err = w.Write([]byte("in vain"))
	fmt.Println("EPIPE:", errors.Is(err, unix.EPIPE))
	return nil
}

// echo sends back over the FIFO args[1] what comes from args[0].
func echo(args []string) error {
	ctx := context.Background()
	r, err := fifo.OpenReader(ctx, args[0])
	if err != nil {
		return err
	}
	w, err := fifo.OpenWriter(ctx, args[1], fifo.WaitReader)
	if err != nil {
		return err
	}
	buf := make([]byte, fifo.Atomic)
	for {
		n, err := r.Read(buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
	}
}

// live says if the FIFO is served, now and when stdin has ended.
func live(args []string) error {
	for range 2 {
		err := fifo.Live(args[0])
		var live *fifo.LiveError
		switch {
		case err == nil:
			fmt.Println("dead")
		case errors.As(err, &live):
			fmt.Println("live:", live.PIDs)
		default:
			return err
		}
		ipctest.StdinEnds()
	}
	return nil
}

// list turns what a child has said into its lines.
func list(text string) []string { return strings.Split(strings.TrimSuffix(text, "\n"), "\n") }

// shutWithoutDescriptors shuts the FIFO when nothing can be opened any more, and says
// what becomes of a writer.
func shutWithoutDescriptors(args []string) error {
	f, err := fifo.Create(context.Background(), args[0], fifo.Options{})
	if err != nil {
		return err
	}
	defer f.Remove()
	w, err := fifo.OpenWriter(context.Background(), args[0], fifo.NoWait)
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte("unread")); err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{}); err != nil {
		return err
	}
	_, err = f.Shut()
	fmt.Println("shut:", errors.Is(err, unix.EMFILE))
	_, err = w.Write([]byte("late"))
	var errno unix.Errno
	errors.As(err, &errno)
	fmt.Println("then write:", errno)
	return nil
}
