package stream_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"example.com/ipcsuite/internal/stream"
)

func TestWorkThatEnds(t *testing.T) {
	flow := stream.NewFlow(true)
	reason := errors.New("enough")
	var out strings.Builder
	left, err := flow.Run(func() error {
		if _, err := io.Copy(flow.Writer(&out), strings.NewReader("hello")); err != nil {
			return err
		}
		return reason
	}, nil, 0)
	if left || !errors.Is(err, reason) || out.String() != "hello" || flow.Total().String() != "end 5 xxh3 cc43551f142f101b" {
		t.Errorf("left %v, %v, wrote %q, %v", left, err, out.String(), flow.Total())
	}
}

// Work that is not in a system call is waited for, however long it takes.
func TestWorkThatStopsByItself(t *testing.T) {
	flow := stream.NewFlow(false)
	stop := make(chan struct{})
	reason := errors.New("enough")
	left, err := flow.Run(func() error {
		close(stop)
		return reason
	}, stop, 0)
	if left || !errors.Is(err, reason) {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestWorkThatIsBlockedIsLeft(t *testing.T) {
	in, out := io.Pipe()
	flow := stream.NewFlow(false)
	stop := make(chan struct{})
	went := make(chan struct{})
	left, err := flow.Run(func() error {
		src := flow.Reader(io.MultiReader(strings.NewReader("hello"), closing{stop}, in), nil)
		_, err := io.Copy(io.Discard, src)
		close(went)
		return err
	}, stop, 0)
	if !left || err != nil || flow.Total().Bytes != 5 {
		t.Errorf("left %v, %v, %v", left, err, flow.Total())
	}
	out.Close() // the call returns
	select {
	case <-went:
		t.Error("the work went on")
	default:
	}
}

// Of several goroutines, one that is blocked is enough for the work to be left, and
// then none of them gets further.
func TestSharedWorkThatIsBlockedIsLeft(t *testing.T) {
	flow := stream.NewFlow(false)
	stop, never := make(chan struct{}), make(chan struct{})
	went := make(chan struct{}, 2)
	left, err := flow.Run(func() error {
		go func() {
			flow.Lock()
			defer flow.Unlock()
			flow.Count([]byte("hello"))
			flow.Unlock()
			close(stop)
			<-never
			flow.Lock()
			went <- struct{}{}
		}()
		flow.Unlock()
		<-never
		flow.Lock()
		went <- struct{}{}
		return nil
	}, stop, 0)
	if !left || err != nil || flow.Total().Bytes != 5 {
		t.Errorf("left %v, %v, %v", left, err, flow.Total())
	}
	close(never)
	select {
	case <-went:
		t.Error("the work went on")
	default:
	}
}

// closing closes a channel when it is read, and is empty.
type closing struct{ c chan struct{} }

func (c closing) Read([]byte) (int, error) {
	close(c.c)
	return 0, io.EOF
}
