package suitetest

import (
	"os"
	"sync"
	"time"
)

// Output is all that processes have written to one pipe so far. It is safe for
// concurrent use.
type Output struct {
	mu    sync.Mutex
	text  []byte
	grown chan struct{} // closed when there is more, or the end
	ended chan struct{} // closed when no process has the pipe open any more
	held  chan struct{} // nil, or not read before it is closed
}

// Collect reads from r until its end, and closes it then.
func Collect(r *os.File) *Output {
	o := &Output{grown: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(o.ended)
		defer r.Close()
		for buf := make([]byte, 64<<10); ; {
			o.mu.Lock()
			held := o.held
			o.mu.Unlock()
			if held != nil {
				<-held
			}
			n, err := r.Read(buf)
			o.mu.Lock()
			o.text = append(o.text, buf[:n]...)
			close(o.grown)
			o.grown = make(chan struct{})
			o.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return o
}

// Hold keeps the pipe from being read after the next read, until [Output.Release].
func (o *Output) Hold() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held == nil {
		o.held = make(chan struct{})
	}
}

// Release undoes Hold.
func (o *Output) Release() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held != nil {
		close(o.held)
		o.held = nil
	}
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// Len returns the length of the text in bytes.
func (o *Output) Len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.text)
}

// Ended is closed when no process has the pipe open any more.
func (o *Output) Ended() <-chan struct{} { return o.ended }

// Await returns true once found does, which it calls with all of the text when there is
// more of it. It returns false after the end, or on timeout. found must not keep the
// text.
func (o *Output) Await(timeout <-chan time.Time, found func(text []byte) bool) bool {
	for ended := false; ; {
		o.mu.Lock()
		yes, grown := found(o.text), o.grown
		o.mu.Unlock()
		if yes || ended {
			return yes
		}
		select {
		case <-grown:
		case <-o.ended:
			ended = true // after a last look
		case <-timeout:
			return false
		}
	}
}
