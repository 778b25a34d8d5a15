package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/finding"
	"example.com/ipcsuite/internal/proc"
	"example.com/ipcsuite/pkg/pipe"
)

// The experiments are made on pipes that do not behave as they should, to see
// that each says so. That they hold on real pipes is in testdata/script.

// maker makes a pipe, or what is taken for one.
type maker func(flags int) (r, w *os.File, err error)

func nonblocking(flags int) (r, w *os.File, err error) { return pipe.New(flags | unix.O_NONBLOCK) }

func packets(flags int) (r, w *os.File, err error) { return pipe.New(flags | unix.O_DIRECT) }

// leaking returns pipes whose read ends somebody else holds too.
func leaking(t *testing.T) maker {
	return func(flags int) (r, w *os.File, err error) {
		r, w, err = pipe.New(flags)
		if err != nil {
			return nil, nil, err
		}
		other, err := unix.Dup(int(r.Fd()))
		t.Cleanup(func() { unix.Close(other) })
		return r, w, err
	}
}

// full returns pipes with something in them.
func full(flags int) (r, w *os.File, err error) {
	r, w, err = pipe.New(flags)
	if err == nil {
		_, err = w.WriteString("somebody else's")
	}
	return r, w, err
}

// twoWay returns sockets, which are open for reading and writing.
func twoWay(int) (r, w *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	return os.NewFile(uintptr(pair[0]), "|0"), os.NewFile(uintptr(pair[1]), "|1"), err
}

// named returns FIFOs, whose inode is in a file system.
func named(t *testing.T) maker {
	return func(int) (r, w *os.File, err error) {
		path := filepath.Join(t.TempDir(), "fifo")
		if err := unix.Mkfifo(path, 0o600); err != nil {
			return nil, nil, err
		}
		// Read and write, as neither end can be opened alone without waiting.
		if r, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
			return nil, nil, err
		}
		w, err = os.OpenFile(path, os.O_RDWR, 0)
		return r, w, err
	}
}

func none(int) (r, w *os.File, err error) { return nil, nil, unix.EMFILE }

func TestAnExperimentFailsWhereThePipeBehavesOtherwise(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kind, name, seen string
		newPipe          maker
	}{
		{"case", "1", "thread \\d+ is not asleep: its call has returned; after the write its read(2) returned EAGAIN", nonblocking},
		{"case", "1", "read(2) returned 15 bytes", full},
		{"case", "2", "65536 bytes went in, in writer \\d+ thread \\d+ is not asleep", nonblocking},
		{"case", "3", "read(2) returned EAGAIN", nonblocking},
		{"case", "3", "read(2) returned 20 bytes", full},
		{"case", "4", "exited with code 0", leaking(t)},
		{"fact", "byte-stream", "1 read of 5 bytes", packets},
		{"fact", "packet-mode", "2 reads of 8 bytes and EAGAIN", func(flags int) (r, w *os.File, err error) {
			return pipe.New(flags&^unix.O_DIRECT | unix.O_NONBLOCK)
		}},
		{"fact", "atomic", "0 writers were asleep at once", nonblocking},
		{"fact", "capacity", "F_GETPIPE_SZ 65536, 61440 bytes went in", full},
		{"fact", "one-way", "write(2) to the read end: 5 bytes", twoWay},
		{"fact", "no-backing-file", "PIPEFS_MAGIC is 0x50495045), mounted in \\d+ places", named(t)},
		{"fact", "lifetime", "returned 20 bytes", full},
		{"fact", "shared-description", "could not be completed: open /proc/self/fd/", twoWay},
		{"fact", "passing", "kcmp(2) with the one that was sent: equal, with the one that was opened: ENXIO; read(2) returned 5 bytes", twoWay},
		{"fact", "passing", "read(2) returned 25 bytes", full},
		{"fact", "exec", "then returned 20 bytes", full},
		{"fact", "go-sigpipe", "write to descriptor 3: 5 bytes", leaking(t)},
		{"case", "1", "could not be completed: too many open files", none},
		{"fact", "shared-description", "could not be completed: too many open files", none},
	} {
		t.Run(test.kind+" "+test.name, func(t *testing.T) {
			f := try(t, test.kind, test.name, test.newPipe)
			if f.Holds {
				t.Errorf("passed, having seen: %s", f.Seen)
			}
			if !matches(f.Seen, test.seen) {
				t.Errorf("seen: %s\nwant it to tell: %s", f.Seen, test.seen)
			}
		})
	}
}

func TestAnExperimentThatHangsFails(t *testing.T) {
	t.Parallel()
	tr := onPipes(pipe.New)
	tr.limit = 500 * time.Millisecond
	s := look(t, tr.see(func(l *lab) (string, bool) {
		r, _ := l.pipe(0)
		l.peer(r).do(read(1)) // and nobody writes
		return "it came back", true
	}))
	if want := "could not be completed: it had not come to its end after 500ms"; s.Holds || !strings.Contains(s.Seen, want) {
		t.Errorf("holds %v, seen: %s; want a failure that says: %s", s.Holds, s.Seen, want)
	}
}

func TestASignalEndsAnExperiment(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := command.SignalError{Signal: unix.SIGINT}
	var out strings.Builder
	series := finding.Series{Kind: "case", Out: &out, All: []finding.Experiment{{Name: "1", See: onPipes(pipe.New).see(func(l *lab) (string, bool) {
		r, _ := l.pipe(0)
		p := l.peer(r)
		p.begin(read(1))
		cancel(cause)
		p.end()
		return "it came back", true
	})}}}
	if err := series.Run(ctx, nil); !errors.Is(err, cause) {
		t.Errorf("error %v, want %v", err, cause)
	}
	if out.Len() > 0 {
		t.Errorf("printed %q", &out)
	}
}

func TestASignalEndsAPeerThatHasNotYetAnswered(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := command.SignalError{Signal: unix.SIGINT}
	cancel(cause) // so that a peer is killed as soon as it is started
	series := finding.Series{Kind: "case", Out: io.Discard, All: onPipes(pipe.New).cases()}
	if err := series.Run(ctx, nil); !errors.Is(err, cause) {
		t.Errorf("error %v, want %v", err, cause)
	}
}

func TestAPeerThatDiesIsReported(t *testing.T) {
	t.Parallel()
	s := look(t, onPipes(pipe.New).see(func(l *lab) (string, bool) {
		r, _ := l.pipe(0)
		p := l.peer(r)
		p.begin(read(1))
		l.fail(p.cmd.Process.Kill())
		p.end()
		return "it came back", true
	}))
	if s.Holds || !strings.Contains(s.Seen, "has ended unasked") {
		t.Errorf("holds %v, seen: %s", s.Holds, s.Seen)
	}
}

func TestALookThatIsForbiddenIsToldOnce(t *testing.T) {
	t.Parallel()
	s := look(t, onPipes(pipe.New).see(func(l *lab) (string, bool) {
		p := l.peer()
		p.wait()
		gone := proc.FD{PID: p.pid, FD: givenFD} // like a process that one may not look into
		return l.kcmp(gone, gone) + " " + l.kcmp(gone, gone), true
	}))
	if !s.Holds || s.Seen != "unknown unknown" || len(s.Unseen) != 1 || !strings.Contains(s.Unseen[0], "kcmp(2)") {
		t.Errorf("holds %v, seen %s, not seen %q; want what could not be seen once", s.Holds, s.Seen, s.Unseen)
	}
}

// mainOnOtherPipes is pipe-demo with the cases made on non-blocking pipes, for
// scripts to see that what does not hold is reported.
func mainOnOtherPipes() {
	os.Exit(command.Main(command.Spec{
		Name: "pipe-demo", ArgsUsage: "[1|2|3|4 …]", Flags: trialFlags,
		Action: func(ctx context.Context, env *command.Env, c *cli.Context) error {
			all := onPipes(nonblocking).cases()
			return finding.Series{Kind: "case", All: all, Out: env.Stdout, JSON: c.Bool("json")}.Run(ctx, c.Args().Slice())
		},
	}))
}

// onPipes is a trial on pipes of that kind.
func onPipes(newPipe maker) trial {
	return trial{stderr: os.Stderr, limit: tooLong, newPipe: newPipe}
}

// try makes the experiment of that name.
func try(t *testing.T, kind, name string, newPipe maker) finding.Sight {
	t.Helper()
	all := onPipes(newPipe).cases()
	if kind == "fact" {
		all = onPipes(newPipe).features()
	}
	for _, e := range all {
		if e.Name == name {
			return look(t, e.See)
		}
	}
	panic(fmt.Sprintf("no %s %q", kind, name))
}

// look makes an experiment, which nothing ends.
func look(t *testing.T, see func(context.Context) (finding.Sight, error)) finding.Sight {
	t.Helper()
	s, err := see(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// matches reports whether text has part in it, where \d+ stands for a number.
func matches(text, part string) bool {
	return regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(part), `\\d\+`, `\d+`)).MatchString(text)
}
