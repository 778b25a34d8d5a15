package chaos

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/internal/suitetest"
)

func TestFIFO(t *testing.T)    { campaign(t, viaFIFO) }
func TestMailbox(t *testing.T) { campaign(t, viaMailbox) }
func TestStream(t *testing.T)  { campaign(t, viaStream) }

// campaign runs the rounds, and stops at the first that fails.
func campaign(t *testing.T, m mechanism) {
	var sum figures
	defer func() { t.Logf("seed %d, %d rounds from %d: %v", *seed, sum.rounds, *from, &sum) }()
	for n := *from; n < *from+*rounds; n++ {
		ok := t.Run(strconv.Itoa(n), func(t *testing.T) { runRound(t, n, newPlan(m, *seed, n), &sum) })
		if !ok {
			t.Fatalf("the same again: go test ./internal/chaos -v -run '^Test%s$' -seed %d -from %d -rounds 1", m.name, *seed, n)
		}
	}
}

// figures is what a campaign has done.
type figures struct {
	rounds, fed, printed, undelivered, lost int
	faults                                  map[string]int
}

func (f *figures) String() string {
	return fmt.Sprintf("%d messages fed, %d printed, %d counted as not delivered by clients, %d as lost by servers; faults %v",
		f.fed, f.printed, f.undelivered, f.lost, f.faults)
}

// round is a plan being carried out.
type round struct {
	plan
	t       *testing.T
	dir     string
	mark    string
	timeout <-chan time.Time

	server  *process
	clients []*process
	fed     []int        // lines of each client, those that it could read whole
	next    int          // of the actions
	stopped map[int]bool // by pid; what reads stdout is 0
	did     []action     // those that met their process

	fds    int          // of the server, when all clients have come
	calm   int          // the line before which the last action came
	ending bool         // the server is
	upset  map[int]bool // clients that were sent a signal
}

func runRound(t *testing.T, n int, p plan, sum *figures) {
	r := &round{
		plan: p, t: t, dir: t.TempDir(),
		mark:    fmt.Sprintf("CHAOS_ROUND=%d.%d.%s.%d", os.Getpid(), *seed, p.mechanism.name, n),
		timeout: time.After(suitetest.Limit),
		fed:     make([]int, p.clients),
		stopped: map[int]bool{},
		upset:   map[int]bool{},
	}
	before := descriptors(os.Getpid())
	t.Cleanup(func() {
		if t.Failed() {
			r.describe()
		}
	})
	o := r.run()
	for _, fault := range o.check() {
		t.Error(fault)
	}
	r.expectNothingLeft(before)
	sum.add(r, o)
}

func (f *figures) add(r *round, o *outcome) {
	f.rounds++
	if f.faults == nil {
		f.faults = map[string]int{}
	}
	for _, a := range r.did {
		f.faults[a.String()]++
	}
	for _, c := range o.clients {
		f.fed += c.fed
		f.undelivered += c.lost
	}
	f.printed += o.printedWhole
	f.lost += o.server.lost
}

// run carries out the plan up to the end of the next server.
func (r *round) run() *outcome {
	args := slices.Clone(r.mechanism.server)
	if r.keepAlive {
		args = append(args, "--keep-alive")
	}
	if r.mechanism.readers {
		args = append(args, "--readers", strconv.Itoa(r.readers))
	}
	r.server = start(r.t, r.mark, r.dir, args...)
	defer r.server.Stdin.Close()
	if r.early {
		r.act()
		r.awaitEnd(r.server, "the server")
		r.expectServes()
		return r.outcome()
	}
	for range r.plan.clients {
		c := r.startClient()
		defer c.Stdin.Close()
		r.clients = append(r.clients, c)
	}
	r.feedAll()
	r.finish()
	return r.outcome()
}

func (r *round) startClient() *process {
	return start(r.t, r.mark, r.dir, append(slices.Clone(r.mechanism.client), "--wait", "20s")...)
}

// feedAll feeds all lines, with the actions between them.
func (r *round) feedAll() {
	sizes := make([]int, len(r.lines)) // of stdout, before a line was fed
	for i, l := range r.lines {
		if i == r.plan.clients { // all have come, and nothing has happened yet
			r.fds = r.descriptorsAtWork()
		}
		for r.next < len(r.actions) && r.actions[r.next].at <= i {
			r.act()
			r.calm = i
		}
		sizes[i] = r.server.stdout.Len()
		if !r.feed(l.client, l.text()+"\n") {
			continue
		}
		if i < r.plan.clients { // it shows that the client is there
			r.awaitPrinted(i, sizes[i])
		} else if j := i - (r.window - 1); r.willPrint(j) {
			r.awaitPrinted(j, sizes[j])
		}
	}
	for r.next < len(r.actions) {
		r.act()
	}
}

// awaitPrinted waits until line i is printed, behind that many bytes.
func (r *round) awaitPrinted(i, size int) {
	text := r.lines[i].text()
	found := func(stdout []byte) bool { return bytes.Contains(stdout[size:], []byte(text+"\n")) }
	if !r.server.stdout.Await(r.timeout, found) {
		r.t.Fatalf("line %d is not printed: %.60q", i, text)
	}
}

// willPrint reports whether nothing keeps line i from being printed.
func (r *round) willPrint(i int) bool {
	if i < r.calm || r.ending || len(r.stopped) > 0 {
		return false
	}
	if r.next < len(r.actions) && r.actions[r.next].at == i+1 {
		return false // what comes next is to find it under way
	}
	l := r.lines[i]
	return l.size <= r.mechanism.longest && !r.upset[l.client]
}

// feed writes to the stdin of a client, and reports whether it took it.
func (r *round) feed(client int, text string) bool {
	c := r.clients[client]
	for rest := []byte(text); len(rest) > 0; {
		n, err := c.tryFeed(rest)
		rest = rest[n:]
		switch {
		case err == nil:
		case errors.Is(err, unix.EPIPE):
			return false
		case !errors.Is(err, unix.EAGAIN):
			r.t.Fatal(err)
		case len(r.stopped) > 0:
			r.goOn() // or nothing might move any more
		default:
			_ = c.Stdin.SetWriteDeadline(time.Now().Add(suitetest.Limit))
			n, err := c.Stdin.Write(rest)
			rest = rest[n:]
			if err != nil && !errors.Is(err, unix.EPIPE) {
				r.t.Fatalf("client %d takes no more: %v", client, err)
			}
		}
	}
	r.fed[client]++
	return true
}

// goOn continues with the next action that lets a process continue, skipping
// none before it.
func (r *round) goOn() {
	for r.next < len(r.actions) {
		if a := r.act(); a.sig == unix.SIGCONT {
			return
		}
	}
	r.continueAll()
}

func (r *round) continueAll() {
	r.server.stdout.Release()
	for pid := range r.stopped {
		suitetest.SignalMarked(pid, r.mark, unix.SIGCONT)
	}
	clear(r.stopped)
}

// act does the next action.
func (r *round) act() action {
	a := r.actions[r.next]
	r.next++
	for start := time.Now(); time.Since(start) < a.delay; { // part of the fault
	}
	var victims []victim
	switch a.who {
	case stdout:
		if a.sig == unix.SIGSTOP {
			r.server.stdout.Hold()
			r.stopped[0] = true
		} else {
			r.server.stdout.Release()
			delete(r.stopped, 0)
		}
		r.did = append(r.did, a)
		return a
	case server:
		victims = r.server.self()
	case reader:
		if victims = r.server.children(); len(victims) > 0 {
			i := a.index % len(victims)
			for j, v := range victims {
				if j != i {
					unix.Close(v.fd)
				}
			}
			victims = victims[i : i+1]
		}
	case client:
		victims = r.clients[a.index%len(r.clients)].self()
	case group:
		// The server first, or it would replace its readers.
		victims = append(r.server.self(), r.server.children()...)
	}
	met := false
	for _, v := range victims {
		if v.hit(a.sig) {
			met = true
			switch a.sig {
			case unix.SIGSTOP:
				r.stopped[v.pid] = true
			case unix.SIGCONT, unix.SIGKILL:
				delete(r.stopped, v.pid)
			}
		}
		unix.Close(v.fd)
	}
	if met {
		r.did = append(r.did, a)
		switch {
		case a.endsServer():
			r.ending = true
		case a.who == client:
			r.upset[a.index%len(r.clients)] = true
		}
	}
	return a
}

// finish ends what is still there, in the order that users would, and has the
// next server serve.
func (r *round) finish() {
	quitFed := r.quit && r.feed(0, contract.Quit+"\n")
	if quitFed {
		r.lines = append(r.lines, line{client: 0, seq: len(r.linesOf(0)), size: len(contract.Quit), quit: true})
	}
	r.continueAll()
	for _, c := range r.clients {
		c.Stdin.Close()
	}
	eager := r.eager && r.ending
	if eager {
		r.awaitEnd(r.server, "the server")
		r.expectServes()
	}
	for i, c := range r.clients {
		r.awaitEnd(c, fmt.Sprintf("client %d", i))
	}
	hasQuit := quitFed && r.clients[0].Status().ExitStatus() == 0
	if r.keepAlive && !r.ending && !hasQuit {
		r.expectNoMoreDescriptors()
		_ = r.server.Cmd.Process.Signal(unix.SIGTERM) // it is there: nothing has ended it
		r.did = append(r.did, action{sig: unix.SIGTERM, who: server})
	}
	r.awaitEnd(r.server, "the server")
	if !eager {
		r.expectServes()
	}
}

// descriptorsAtWork returns how many descriptors the server has open, of which it
// has one for each reader, once it has started them all.
func (r *round) descriptorsAtWork() int {
	if r.mechanism.readers {
		suitetest.Eventually(r.t, fmt.Sprintf("the server has %d readers", r.readers), func() bool {
			return len(suitetest.Children(r.server.PID())) >= r.readers
		})
	}
	return descriptors(r.server.PID())
}

// expectNoMoreDescriptors waits until the server has no more descriptors open than
// it had before the faults. It may be about to replace a reader.
func (r *round) expectNoMoreDescriptors() {
	suitetest.Eventually(r.t, fmt.Sprintf("the server has %d descriptors, as before the faults", r.fds), func() bool {
		return descriptors(r.server.PID()) <= r.fds
	})
}

// awaitEnd waits for the end of a process and of all that it has started.
func (r *round) awaitEnd(p *process, what string) {
	r.t.Helper()
	r.await(p.Reaped(), what+" has ended")
	r.await(p.stdout.Ended(), "all that have the stdout of "+what+" have ended")
	r.await(p.Stderr.Ended(), "all that have the stderr of "+what+" have ended")
}

func (r *round) await(event <-chan struct{}, what string) {
	r.t.Helper()
	select {
	case <-event:
	case <-r.timeout:
		r.t.Fatalf("not within %v: %s", suitetest.Limit, what)
	}
}

// expectServes checks that the next start works at once.
func (r *round) expectServes() {
	segments, err := suitetest.Segments(r.dir, projID)
	if err != nil {
		r.t.Error(err)
	}
	_, err = os.Lstat(filepath.Join(r.dir, r.mechanism.fifo))
	left := err == nil || len(segments) > 0
	if left && !r.server.Status().Signaled() {
		r.t.Errorf("the server (%v) has left %v", r.server.Cmd.ProcessState, suitetest.Leftovers(r.dir, projID))
	}
	s := start(r.t, r.mark, r.dir, r.mechanism.server...)
	s.EOF()
	const text = "still alive?"
	c := r.startClient()
	r.t.Cleanup(func() {
		if r.t.Failed() {
			r.t.Logf("the next server:\n%s\nthe next client:\n%s", s.Stderr, c.Stderr)
		}
	})
	c.Send(text)
	c.EOF()
	r.awaitEnd(c, "the next client")
	r.awaitEnd(s, "the next server")
	if !c.Status().Exited() || c.Status().ExitStatus() != 0 {
		r.t.Errorf("the next client: %v", c.Cmd.ProcessState)
	}
	if !s.Status().Exited() || s.Status().ExitStatus() != 0 || strings.Count(s.stdout.String(), text) != 1 {
		r.t.Errorf("the next server: %v, and has printed:\n%s", s.Cmd.ProcessState, s.stdout.String())
	}
	if tookOver := strings.Contains(s.Stderr.String(), "that a dead server had left"); tookOver != left {
		r.t.Errorf("took over what was left: %v, want %v", tookOver, left)
	}
}

// expectNothingLeft checks that nothing is left of the round.
func (r *round) expectNothingLeft(descriptorsBefore int) {
	for _, fault := range append(suitetest.Leftovers(r.dir, projID), suitetest.LeftRunning(r.mark)...) {
		r.t.Error(fault)
	}
	if after := descriptors(os.Getpid()); after > descriptorsBefore {
		r.t.Errorf("the test itself has %d descriptors open, %d before the round", after, descriptorsBefore)
	}
}

// describe logs all that there is to know of a round that failed.
func (r *round) describe() {
	p := r.plan
	r.t.Logf("%s, %d readers, %d clients, %d lines; keep-alive %v, window %d, early %v, eager %v, quit %v",
		p.mechanism.name, p.readers, p.clients, len(p.lines), p.keepAlive, p.window, p.early, p.eager, p.quit)
	for _, a := range r.actions {
		r.t.Logf("after %d lines and %v: %v (index %d)", a.at, a.delay, a, a.index)
	}
	r.t.Logf("of these done: %v", r.did)
	r.t.Logf("server:\n%s", r.server.Stderr)
	for i, c := range r.clients {
		r.t.Logf("client %d, fed %d lines:\n%s", i, r.fed[i], c.Stderr)
	}
	if os.Getenv("CHAOS_KEEP") != "" {
		_, round, _ := strings.Cut(r.mark, "=")
		file := filepath.Join(os.TempDir(), "chaos-stdout."+round)
		_ = os.WriteFile(file, []byte(r.server.stdout.String()), 0o600)
		r.t.Logf("stdout is in %s", file)
	}
}

var (
	undelivered = regexp.MustCompile(`messages not (?:delivered|sent): (\d+) of (\d+)\n`)
	notPrinted  = regexp.MustCompile(`messages not printed: (\d+)\n`)
	delivered   = regexp.MustCompile(`: (\d+) bytes delivered(?: of (\d+) read)?(, and some)?`)
	heldBy      = regexp.MustCompile(`a reader was killed messages_lost=(\d+)`)
)

// outcome collects what the programs have said.
func (r *round) outcome() *outcome {
	o := &outcome{plan: r.plan, stdout: r.server.stdout.String()}
	log := r.server.Stderr.String()
	o.server.end = endOf(r.server)
	if m := notPrinted.FindStringSubmatch(log); m != nil {
		o.server.lost = number(m[1])
	}
	if m := delivered.FindStringSubmatch(log); m != nil {
		o.server.counted, o.server.delivered, o.server.more = true, number(m[1]), m[3] != ""
	}
	for _, m := range heldBy.FindAllStringSubmatch(log, -1) {
		o.server.reaped++
		o.server.held += number(m[1])
	}
	killed := 0
	for _, a := range r.did {
		switch {
		case a.endsServer():
			o.server.signals = append(o.server.signals, a.sig)
			if a.who == group && a.sig == unix.SIGKILL {
				killed += r.readers
			}
		case a.who == reader && a.sig == unix.SIGKILL:
			killed++
		}
	}
	if o.server.killed != 0 {
		o.server.unreaped = max(0, killed-o.server.reaped)
	}
	for i, c := range r.clients {
		e := clientEnd{end: endOf(c), fed: r.fed[i], lines: r.linesOf(i)}
		log := c.Stderr.String()
		e.gone = strings.Contains(log, "server has gone")
		if m := undelivered.FindStringSubmatch(log); m != nil {
			e.counted, e.lost, e.total = true, number(m[1]), number(m[2])
		}
		if m := delivered.FindStringSubmatch(log); m != nil {
			e.counted, e.delivered, e.total = true, number(m[1]), number(m[2])
		}
		for _, a := range r.did {
			if a.who == client && a.index%len(r.clients) == i {
				e.signals = append(e.signals, a.sig)
			}
		}
		o.clients = append(o.clients, e)
	}
	return o
}

func (r *round) linesOf(client int) (lines []line) {
	for _, l := range r.lines {
		if l.client == client {
			lines = append(lines, l)
		}
	}
	return lines
}

func endOf(p *process) (e end) {
	s := p.Status()
	if s.Signaled() {
		e.killed = s.Signal()
	}
	e.code = s.ExitStatus()
	return e
}

func number(text string) int {
	n, _ := strconv.Atoi(text) // a regular expression has found digits
	return n
}
