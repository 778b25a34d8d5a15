package grace_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"example.com/ipcsuite/internal/grace"
)

var errStop = errors.New("told to end")

// stoppable returns a context and what ends it with errStop.
func stoppable(t *testing.T) (ctx context.Context, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	t.Cleanup(func() { cancel(nil) })
	return ctx, func() { cancel(errStop) }
}

func TestWorkThatEnds(t *testing.T) {
	t.Parallel()
	var work grace.Work
	var out strings.Builder
	reason := errors.New("enough")
	left, err := work.Run(t.Context(), 0, func() error {
		if _, err := io.Copy(work.Writer(&out), work.Reader(strings.NewReader("hello"))); err != nil {
			return err
		}
		return reason
	})
	if left || !errors.Is(err, reason) || out.String() != "hello" {
		t.Errorf("left %v, %v, wrote %q", left, err, out.String())
	}
}

// Work that is not in a call is waited for, however long it takes.
func TestWorkThatStopsByItself(t *testing.T) {
	t.Parallel()
	ctx, stop := stoppable(t)
	var work grace.Work
	reason := errors.New("enough")
	left, err := work.Run(ctx, 0, func() error {
		stop()
		return reason
	})
	if left || !errors.Is(err, reason) {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestWorkThatIsBlockedIsLeft(t *testing.T) {
	t.Parallel()
	ctx, stop := stoppable(t)
	in, out := io.Pipe()
	var work grace.Work
	count := 0
	went := make(chan struct{})
	left, err := work.Run(ctx, 0, func() error {
		defer close(went)
		src := work.Reader(io.MultiReader(strings.NewReader("hello"), stopping{stop}, in))
		for buf := make([]byte, 8); ; {
			n, err := src.Read(buf)
			if count += n; err != nil {
				return err
			}
		}
	})
	if !left || !errors.Is(err, errStop) || count != 5 {
		t.Errorf("left %v, %v, counted %d", left, err, count)
	}
	out.Close() // the call returns
	mustNotGoOn(t, went)
}

// Of several goroutines, one that is blocked is enough for the work to be left, and
// then none of them gets further.
func TestSharedWorkThatIsBlockedIsLeft(t *testing.T) {
	t.Parallel()
	ctx, stop := stoppable(t)
	var work grace.Work
	count := 0
	never := make(chan struct{})
	went := make(chan struct{}, 2)
	left, err := work.Run(ctx, 0, func() error {
		go func() {
			work.Lock()
			count = 5
			work.Unlock()
			stop()
			<-never
			work.Lock()
			went <- struct{}{}
		}()
		work.Unlock()
		<-never
		work.Lock()
		went <- struct{}{}
		return nil
	})
	if !left || !errors.Is(err, errStop) || count != 5 {
		t.Errorf("left %v, %v, counted %d", left, err, count)
	}
	close(never)
	mustNotGoOn(t, went)
}

// mustNotGoOn gives the work, whose call has returned, every chance to go on.
func mustNotGoOn(t *testing.T, went <-chan struct{}) {
	t.Helper()
	for range 1000 {
		select {
		case <-went:
			t.Fatal("the work went on")
		default:
			runtime.Gosched()
		}
	}
}

// stopping stops the work when it is read, and is empty.
type stopping struct{ stop func() }

func (s stopping) Read([]byte) (int, error) {
	s.stop()
	return 0, io.EOF
}

func TestReadingAndWritingDoNotAllocate(t *testing.T) {
	var work grace.Work
	src, dst := work.Reader(strings.NewReader("hello")), work.Writer(io.Discard)
	buf := make([]byte, 8)
	work.Lock()
	defer work.Unlock()
	if n := testing.AllocsPerRun(100, func() {
		_, _ = src.Read(buf)
		_, _ = dst.Write(buf)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
