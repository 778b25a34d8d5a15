package main

import (
	"context"
	"fmt"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"example.com/ipcsuite/internal/chapter"
	"example.com/ipcsuite/internal/suitetest"
	"example.com/ipcsuite/pkg/fork"
)

// TestMain makes the test binary be ipc-bench where a script calls it, and an end
// where ipc-bench starts one, which then knows faulty mechanisms too.
func TestMain(m *testing.M) {
	fork.Dispatch(roles(append(mechanisms(), faulty()...)))
	suitetest.MainAs(m, map[string]func(){"ipc-bench": main})
}

// The scripts must leave $IPC_DIR empty.
func TestScripts(t *testing.T) {
	t.Parallel()
	suitetest.Scripts(t, testscript.Params{
		Condition: func(name string) (bool, error) {
			if name != "cross" {
				return false, fmt.Errorf("no condition %q", name)
			}
			allowed, err := allowedCPUs() // more than one?
			return len(allowed) > 1, err
		},
		Setup: func(env *testscript.Env) error {
			env.Defer(func() { suitetest.Clean(t, env.Getenv("IPC_DIR")) })
			return nil
		},
	})
}

func TestReadme(t *testing.T) {
	t.Parallel()
	chapter.Run(t, "README.md",
		chapter.Mask{Pattern: `\d+(\.\d+)? (ns|µs|ms|s)\b`, With: "N"},
		chapter.Mask{Pattern: `takes \d+\.\d times`, With: "takes N times"},
		// The writer of a ring must wait now and then, how often is chance.
		chapter.Mask{Pattern: `\d\.\d\d calls a message \((ioctl \d\.\d\d, )?(poll \d\.\d\d, )?read 1\.\d\d, write 1\.\d\d\)`, With: "N calls a message"},
	)
}

// faulty are mechanisms that lose, repeat, cut or change a message.
func faulty() []mechanism {
	faults := map[string]func(l link) link{
		"flips-last-byte": func(l link) link {
			return &fault{link: l, at: 5, do: func(p []byte) []byte { p[len(p)-1] ^= 1; return p }}
		},
		"cuts": func(l link) link { return &fault{link: l, at: 5, do: func(p []byte) []byte { return p[:len(p)-1] }} },
		// Not on a round trip, on which the sender would wait for it.
		"loses": func(l link) link {
			return &fault{link: l, at: faultFreeTrips + 5, do: func([]byte) []byte { return nil }}
		},
		"repeats": func(l link) link { return &fault{link: l, at: 5, again: true} },
	}
	var all []mechanism
	for name, spoil := range faults {
		all = append(all, mechanism{
			name: name, meet: meetFIFOs,
			join: func(ctx context.Context, a assignment) (link, error) {
				l, err := joinFIFOs(ctx, a)
				if err != nil || !a.Near {
					return l, err
				}
				return spoil(l), nil
			},
		})
	}
	return all
}

// faultFreeTrips is how many messages are sent in a measurement of 70, with 10 to
// warm up.
const faultFreeTrips = 80

// fault is a link that does something to the message after so many.
type fault struct {
	link
	at, sent int
	do       func([]byte) []byte
	again    bool
}

func (f *fault) send(p []byte) error {
	if f.sent++; f.sent == f.at {
		if f.again {
			if err := f.link.send(p); err != nil {
				return err
			}
		} else if p = f.do(append([]byte(nil), p...)); p == nil {
			return nil
		}
	}
	return f.link.send(p)
}
