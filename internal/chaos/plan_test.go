package chaos

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/contract"
)

// plan is what is done in a round. It follows from the seed and the number of
// the round alone.
type plan struct {
	mechanism mechanism
	readers   int
	clients   int
	keepAlive bool
	window    int  // a line is fed when the one so many before it has been printed
	early     bool // the server meets its end while it starts; no clients
	eager     bool // the next server starts before the clients have ended
	quit      bool // the last line of client 0 ends the server
	lines     []line
	actions   []action
}

// mechanism is what the messages go through.
type mechanism struct {
	name           string
	server, client []string // commands
	fifo           string   // name of the FIFO in --dir
	longest        int      // bytes of a message
	readers        bool     // the server has reader processes
	stream         bool     // of bytes: from one client, and nothing is too long
}

var (
	viaFIFO    = mechanism{name: "FIFO", server: []string{"fifo-server"}, client: []string{"fifo-client"}, fifo: contract.FIFOName, longest: 4096, readers: true}
	viaMailbox = mechanism{name: "Mailbox", server: []string{"shm-server"}, client: []string{"shm-client"}, fifo: contract.GateName, longest: 4095}
	// The ring is small, so that it is often full.
	viaStream = mechanism{name: "Stream", server: []string{"shm-server", "--stream", "--size", "8192"},
		client: []string{"shm-client", "--stream", "--quiet"}, fifo: contract.GateName, longest: 30000, stream: true}
)

// line is a line that a client is fed.
type line struct {
	client int
	seq    int // of the client's
	size   int // of the text; more than the mechanism's longest is refused
	quit   bool
}

// text is the message, which shows by itself whether it is whole, and whose it
// is.
func (l line) text() string {
	if l.quit {
		return contract.Quit
	}
	head := fmt.Sprintf("%d.%d ", l.client, l.seq)
	var b strings.Builder
	b.WriteString(head)
	for i := 0; b.Len() < l.size-1; i++ {
		b.WriteByte('a' + byte((i*7+l.seq*13+l.client)%26))
	}
	b.WriteByte('.')
	return b.String()
}

// action is a signal to a process.
type action struct {
	at    int           // fed so many lines
	delay time.Duration // after that
	sig   syscall.Signal
	who   who
	index int // which of the readers or clients
}

type who string

const (
	server who = "server"
	reader who = "reader"
	client who = "client"
	group  who = "server and readers"
	stdout who = "stdout" // of the server: what reads it
)

func (a action) String() string {
	return fmt.Sprintf("%s %s", unix.SignalName(a.sig), a.who)
}

// endsServer reports whether the server is gone after it.
func (a action) endsServer() bool {
	return (a.who == server || a.who == group) && a.sig != unix.SIGSTOP && a.sig != unix.SIGCONT
}

// faults are what an action can be, as often as is their weight.
var faults = []struct {
	weight int
	who    who
	sigs   []syscall.Signal
}{
	{30, reader, []syscall.Signal{unix.SIGKILL}},
	{15, reader, []syscall.Signal{unix.SIGSTOP}},
	{3, reader, []syscall.Signal{unix.SIGTERM, unix.SIGINT}}, // which it does not mind
	{12, server, []syscall.Signal{unix.SIGSTOP}},
	{12, client, []syscall.Signal{unix.SIGSTOP}},
	{12, stdout, []syscall.Signal{unix.SIGSTOP}},
	{10, client, []syscall.Signal{unix.SIGKILL}},
	{8, client, []syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP}},
	{10, server, []syscall.Signal{unix.SIGKILL}},
	{10, server, []syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP}},
	{4, group, []syscall.Signal{unix.SIGKILL}},
	{4, group, []syscall.Signal{unix.SIGINT}}, // Ctrl-C
}

func newPlan(m mechanism, seed uint64, round int) plan {
	r := rand.New(rand.NewPCG(seed, uint64(round)<<8|uint64(m.name[0])))
	p := plan{
		mechanism: m,
		readers:   1 + r.IntN(4),
		clients:   max(1, r.IntN(5)-1),
		keepAlive: r.IntN(2) == 0,
		window:    []int{1, 1, 4, 40, 400}[r.IntN(5)],
		early:     r.IntN(10) == 0,
		eager:     r.IntN(2) == 0,
		quit:      !m.readers && r.IntN(4) == 0,
	}
	if m.stream {
		p.clients, p.keepAlive, p.quit = 1, false, false
	}
	p.makeLines(r)
	if p.early {
		p.actions = []action{{
			delay: time.Duration(r.IntN(int(20 * time.Millisecond))),
			sig:   []syscall.Signal{unix.SIGKILL, unix.SIGKILL, unix.SIGTERM, unix.SIGINT}[r.IntN(4)],
			who:   server,
		}}
		return p
	}
	for range r.IntN(6) {
		p.addFault(r)
	}
	slices.SortStableFunc(p.actions, func(a, b action) int { return cmp.Compare(a.at, b.at) })
	return p
}

func (p *plan) makeLines(r *rand.Rand) {
	count := 30 + r.IntN(10*p.window+100)
	next := make([]int, p.clients)
	for i := range count {
		l := line{client: i % p.clients, size: 8 + r.IntN(60)}
		if i >= p.clients { // of the first of each the client is known to be there
			l.client = r.IntN(p.clients)
			switch r.IntN(100) {
			case 0:
				l.size = p.mechanism.longest
			case 1:
				if !p.mechanism.stream {
					l.size = p.mechanism.longest + 1 + r.IntN(1000)
				}
			case 2, 3:
				l.size = 500 + r.IntN(3000)
			}
		}
		l.seq = next[l.client]
		next[l.client]++
		p.lines = append(p.lines, l)
	}
}

func (p *plan) addFault(r *rand.Rand) {
	total := 0
	for _, f := range faults {
		total += f.weight
	}
	pick := r.IntN(total)
	for _, f := range faults {
		if pick -= f.weight; pick >= 0 {
			continue
		}
		a := action{
			// Not before all clients have come.
			at:    p.clients + r.IntN(len(p.lines)-p.clients+1),
			delay: time.Duration(r.IntN(int(150 * time.Microsecond))),
			sig:   f.sigs[r.IntN(len(f.sigs))],
			who:   f.who,
			index: r.IntN(p.readers * p.clients),
		}
		if a.who == reader && !p.mechanism.readers {
			return
		}
		if a.endsServer() && slices.ContainsFunc(p.actions, action.endsServer) {
			return
		}
		p.actions = append(p.actions, a)
		if a.sig == unix.SIGSTOP {
			a.sig = unix.SIGCONT
			a.at += 1 + r.IntN(len(p.lines)/4)
			if a.who == stdout { // so that others meet it full
				a.at = len(p.lines)
			}
			p.actions = append(p.actions, a)
		}
		return
	}
}

func TestPlansFollowFromTheSeed(t *testing.T) {
	kinds := map[string]int{}
	for round := range 500 {
		a, b := fmt.Sprint(newPlan(viaFIFO, 7, round)), fmt.Sprint(newPlan(viaFIFO, 7, round))
		if a != b {
			t.Fatalf("round %d:\n%s\n%s", round, a, b)
		}
		if a == fmt.Sprint(newPlan(viaFIFO, 8, round)) {
			t.Errorf("round %d: the seed makes no difference", round)
		}
		for _, a := range newPlan(viaFIFO, 7, round).actions {
			kinds[a.String()]++
		}
	}
	for _, f := range faults {
		for _, sig := range f.sigs {
			if a := (action{sig: sig, who: f.who}); kinds[a.String()] == 0 {
				t.Errorf("%v is in none of 500 plans", a)
			}
		}
	}
}
