package suitetest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// failing is a test that notes its failure, of which Fatalf ends the goroutine.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Helper()                           {}
func (f *failing) Errorf(format string, args ...any) { f.said += fmt.Sprintf(format, args...) }
func (f *failing) Error(args ...any)                 { f.said += fmt.Sprint(args...) }
func (f *failing) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	panic(f)
}

// saying returns what a check on a shell that runs the script fails with, "" if it holds.
func saying(t *testing.T, script string, check func(p *Process)) (said string) {
	t.Helper()
	f := &failing{TB: t}
	p := StartCmd(t, "", exec.Command("sh", "-c", script))
	p.t = f
	defer func() {
		if r := recover(); r != nil && r != any(f) {
			panic(r)
		}
		said = f.said
	}()
	check(p)
	return f.said
}

// All suites rest on these: each holds where it should, and fails where it should.
func TestChecksCanFail(t *testing.T) {
	t.Parallel()
	const script = `echo out; echo one >&2; echo two 2 >&2; read line; echo "$line"; exit 3`
	for name, tt := range map[string]struct {
		check func(p *Process)
		fails string // with this in it; "" if it holds
	}{
		"a line that comes":        {func(p *Process) { p.Await("two") }, ""},
		"a line that does not":     {func(p *Process) { p.EOF().Await("three") }, `has not said "three"`},
		"a line that has passed":   {func(p *Process) { p.Await("two"); p.EOF().Await("one") }, `has not said "one"`},
		"the exit code":            {func(p *Process) { p.EOF().Exit(3) }, ""},
		"another exit code":        {func(p *Process) { p.EOF().Exit(0) }, "want exit code 0"},
		"what is printed":          {func(p *Process) { p.Prints("out"); p.Send("hello"); p.Prints("hello") }, ""},
		"another text":             {func(p *Process) { p.Prints("hello") }, `printed "out", want "hello"`},
		"more than that on stdout": {func(p *Process) { p.Prints("out"); p.Ends(3) }, `prints "\n" more`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said := saying(t, script, tt.check)
			if !strings.Contains(said, tt.fails) || tt.fails == "" && said != "" {
				t.Errorf("it says %q, want %q", said, tt.fails)
			}
		})
	}
}

func TestAwaitMovesOnAndExitReturnsTheRest(t *testing.T) {
	t.Parallel()
	p := StartCmd(t, "", exec.Command("sh", "-c", "for i in 1 2 3; do echo line $i >&2; done"))
	if got := p.Await(`line (\d)`) + p.Await("line"); got != "1line 2" {
		t.Errorf("awaited %q", got)
	}
	if got := p.Exit(0); got != "line 3\n" || p.Stderr.String() != "line 1\nline 2\nline 3\n" {
		t.Errorf("the rest is %q, all is %q", got, p.Stderr)
	}
}

func TestCleanFindsWhatIsLeft(t *testing.T) {
	t.Parallel()
	dir := Dir(t)
	p := StartCmd(t, dir, exec.Command("sh", "-c", `mkfifo "$IPC_DIR/left"; echo made; read line`))
	p.Prints("made")
	f := &failing{TB: t}
	Clean(f, dir, p)
	for _, what := range []string{"left in " + dir, "left by", `"sh\x00`} {
		Contains(t, f.said, what)
	}
	KillMarked(p.mark)
	if err := os.Remove(dir + "/left"); err != nil {
		t.Error(err)
	}
	p.Exit(-1)
	Clean(t, dir, p)
	if err := unix.Kill(p.PID(), 0); err == nil {
		t.Error("it is still there")
	}
}
