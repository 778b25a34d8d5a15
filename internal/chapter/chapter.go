// Package chapter runs the commands of a chapter, a README.md, and compares what
// they print with what the chapter says, so that it cannot rot.
//
// Commands stand behind "$ " in blocks fenced as console, and the lines that
// follow are what they print on standard output; a line that starts with four
// spaces goes on with the one before. A server is left running for the commands
// after it, as in a terminal of its own; it is to end by them, and the lines of
// its processes may come in any order. Lines that start with "> " are typed to a
// client, which leaves when the server has printed the last of them.
package chapter

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/ipcsuite/internal/suitetest"
)

// Mask replaces what differs from one run or machine to another.
type Mask struct{ Pattern, With string }

// Session is a command with what it is typed and what it prints.
type Session struct {
	Command string
	Typed   []string
	Output  []string
}

// Sessions returns the commands of a chapter in their order.
func Sessions(markdown string) []Session {
	var all []Session
	for _, block := range regexp.MustCompile("(?ms)^```console\n(.*?)^```$").FindAllStringSubmatch(markdown, -1) {
		for line := range strings.Lines(block[1]) {
			line = strings.TrimRight(line, "\n")
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				all = append(all, Session{Command: command})
				continue
			}
			last := &all[len(all)-1]
			if text, ok := strings.CutPrefix(line, "> "); ok {
				last.Typed = append(last.Typed, text)
				continue
			}
			last.Output = append(last.Output, line)
		}
	}
	return all
}

// Run runs the commands of the file in a folder of their own.
func Run(t *testing.T, file string, masks ...Mask) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{dir: suitetest.Dir(t), home: t.TempDir(), masks: masks}
	for _, s := range Sessions(string(text)) {
		r.run(t, s)
	}
	r.endServer(t)
}

type runner struct {
	dir, home string // $IPC_DIR, and where the commands are typed
	masks     []Mask
	server    *process // nil: none runs
}

// process is a session's command at work.
type process struct {
	*suitetest.Process
	session Session
	printed *suitetest.Output
}

func (r *runner) command(line string) *exec.Cmd {
	cmd := exec.Command("bash", "-c", line)
	cmd.Dir = r.home
	cmd.Env = append(os.Environ(), "IPC_DIR="+r.dir, "LC_ALL=C") // other programs speak English then
	return cmd
}

func (r *runner) start(t *testing.T, s Session) *process {
	t.Helper()
	p := suitetest.StartCmd(t, "", r.command(s.Command))
	return &process{p, s, suitetest.Collect(p.Stdout)}
}

// ownServer is in commands that have a server of their own beside a client.
var ownServer = regexp.MustCompile(`-server.*&( |$)`)

// servers are the commands that stay, where somebody else is to end them.
var servers = regexp.MustCompile(`^(fifo|shm)-server( -[^;&|]*| 2>&1| 2>/dev/null)*( \| grep [^;&]*)?$`)

func (r *runner) run(t *testing.T, s Session) {
	t.Helper()
	if servers.MatchString(s.Command) {
		r.endServer(t)
		r.startServer(t, s)
		return
	}
	if ownServer.MatchString(s.Command) {
		r.endServer(t) // where one before it has not quite ended
	}
	p := r.start(t, s)
	if n := len(s.Typed); n > 0 {
		p.Send(s.Typed...)
		hasLast := func(text []byte) bool { return bytes.Contains(text, []byte(s.Typed[n-1])) }
		if r.server != nil && !r.server.printed.Await(time.After(suitetest.Limit), hasLast) {
			t.Fatalf("$ %s\nthe server has not printed %q:\n%s", s.Command, s.Typed[n-1], r.server.printed)
		}
	}
	p.EOF()
	r.end(t, p, false)
}

func (r *runner) startServer(t *testing.T, s Session) {
	t.Helper()
	r.server = r.start(t, s)
	name, _, _ := strings.Cut(s.Command, " ")
	suitetest.Eventually(t, s.Command+" serves", func() bool { return r.command(name+" health").Run() == nil })
}

func (r *runner) endServer(t *testing.T) {
	t.Helper()
	if r.server != nil {
		r.end(t, r.server, true)
		r.server = nil
	}
}

// end waits for the end of a command, and compares what it has printed with the chapter.
func (r *runner) end(t *testing.T, p *process, anyOrder bool) {
	t.Helper()
	timeout := time.After(suitetest.Limit)
	for _, end := range []<-chan struct{}{p.Reaped(), p.printed.Ended()} {
		select {
		case <-end:
		case <-timeout:
			t.Fatalf("$ %s\ndoes not end, and has printed\n%s", p.session.Command, p.printed)
		}
	}
	got, want := r.masked(strings.Split(p.printed.String(), "\n")), r.masked(p.session.Output)
	if anyOrder {
		slices.Sort(got)
		slices.Sort(want)
	}
	if !slices.Equal(got, want) {
		t.Errorf("$ %s\nprints\n%s\nwhich is, masked,\n%s\nand the chapter says\n%s",
			p.session.Command, p.printed, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// masked joins lines that were broken to fit the page, and masks each.
func (r *runner) masked(lines []string) []string {
	var whole []string
	for _, line := range lines {
		text := strings.Join(strings.Fields(line), " ")
		switch {
		case text == "":
		case strings.HasPrefix(line, "    ") && len(whole) > 0:
			whole[len(whole)-1] += " " + text
		default:
			whole = append(whole, text)
		}
	}
	for i := range whole {
		for _, m := range r.masks {
			whole[i] = regexp.MustCompile(m.Pattern).ReplaceAllString(whole[i], m.With)
		}
	}
	return whole
}
