package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"example.com/ipcsuite/pkg/fifo"
)

// meetFIFOs makes two FIFOs, one for each direction.
func meetFIFOs(ctx context.Context, p plan) (*meeting, error) {
	m := &meeting{}
	var made []*fifo.FIFO
	m.leave = func() {
		for _, f := range made {
			_ = f.Remove() // somebody else has removed it: so it is gone
		}
		made = nil
	}
	for _, way := range []string{"there", "back"} {
		f, err := fifo.Create(ctx, filepath.Join(p.dir, fmt.Sprintf("bench-%d-%s.fifo", os.Getpid(), way)), fifo.Options{})
		if err != nil {
			m.leave()
			return nil, err
		}
		made = append(made, f)
		m.names = append(m.names, f.Path())
	}
	return m, nil
}

// openFIFOs opens both FIFOs, in an order in which nobody waits for good: until
// the ends have met the program itself is a reader of both, and so to open for
// writing does not block.
func openFIFOs(ctx context.Context, a assignment) (*fifo.Reader, *fifo.Writer, error) {
	in, out := a.Names[0], a.Names[1]
	if a.Near {
		in, out = out, in
	}
	w, err := fifo.OpenWriter(ctx, out, fifo.WaitReader)
	if err != nil {
		return nil, nil, err
	}
	r, err := fifo.OpenReader(ctx, in)
	if err != nil {
		_ = w.Close()
		return nil, nil, err
	}
	return r, w, nil
}

func joinFIFOs(ctx context.Context, a assignment) (link, error) {
	r, w, err := openFIFOs(ctx, a)
	if err != nil {
		return nil, err
	}
	return fifoLink{r, w}, nil
}

type fifoLink struct {
	in  *fifo.Reader
	out *fifo.Writer
}

func (l fifoLink) send(p []byte) error {
	_, err := l.out.Write(p)
	return err
}

func (l fifoLink) receive(buf []byte) ([]byte, error) {
	n, err := l.in.Read(buf)
	return buf[:n], err
}
