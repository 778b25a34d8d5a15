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
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// limit is how long a command may take: so that a fault shows as a failure.
const limit = 30 * time.Second

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
	dir := filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r := &runner{dir: dir, masks: masks}
	for _, s := range Sessions(string(text)) {
		r.run(t, s)
	}
	r.endServer(t)
}

type runner struct {
	dir   string
	masks []Mask

	server  *exec.Cmd // nil: none runs
	session Session   // the server's
	printed *output
}

// output is what a process has printed so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (r *runner) command(t *testing.T, line string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "bash", "-c", line)
	cmd.Dir = filepath.Dir(r.dir)
	// Other programs speak English then.
	cmd.Env = append(os.Environ(), "IPC_DIR="+r.dir, "LC_ALL=C")
	cmd.WaitDelay = time.Second // where a process that is left holds stdout
	return cmd
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
	out := new(output)
	cmd := r.command(t, s.Command)
	cmd.Stdout = out
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, line := range s.Typed {
		_, _ = stdin.Write([]byte(line + "\n")) // a client that is gone prints too little
	}
	if n := len(s.Typed); n > 0 && r.server != nil {
		for end := time.Now().Add(limit); !strings.Contains(r.printed.String(), s.Typed[n-1]); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("$ %s\nthe server has not printed %q:\n%s", s.Command, s.Typed[n-1], r.printed)
			}
		}
	}
	_ = stdin.Close() // nothing is buffered
	_ = cmd.Wait()    // what it prints tells
	r.compare(t, s, out.String(), false)
}

func (r *runner) startServer(t *testing.T, s Session) {
	t.Helper()
	r.session, r.printed = s, new(output)
	r.server = r.command(t, "exec "+s.Command)
	r.server.Stdout = r.printed
	if err := r.server.Start(); err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(s.Command, " ")
	for end := time.Now().Add(limit); r.command(t, name+" health 2>/dev/null").Run() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("$ %s\nit does not serve:\n%s", s.Command, r.printed)
		}
	}
}

func (r *runner) endServer(t *testing.T) {
	t.Helper()
	if r.server == nil {
		return
	}
	_ = r.server.Wait() // what it prints tells
	r.server = nil
	r.compare(t, r.session, r.printed.String(), true)
}

func (r *runner) compare(t *testing.T, s Session, printed string, anyOrder bool) {
	t.Helper()
	got, want := r.masked(strings.Split(printed, "\n")), r.masked(s.Output)
	if anyOrder {
		slices.Sort(got)
		slices.Sort(want)
	}
	if !slices.Equal(got, want) {
		t.Errorf("$ %s\nprints\n%s\nwhich is, masked,\n%s\nand the chapter says\n%s",
			s.Command, printed, strings.Join(got, "\n"), strings.Join(want, "\n"))
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
