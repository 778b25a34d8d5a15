package chaos

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/suitetest"
)

// How a soak loads the machine: that little, so that it can run beside other work.
const (
	soakReaders     = 16
	soakFIFOClients = 16
	soakBoxClients  = 4
	soakPace        = 50 * time.Millisecond // between two lines of a client
	soakLife        = 20 * time.Second      // of every second client: then another takes its place
)

// TestSoak has servers serve for as long as -soak says. It fails if a message is
// not printed exactly once, if something else ends than it should, and if the
// memory or the descriptors of a process grow: see flat.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("runs with -soak DURATION")
	}
	s := &soaking{t: t, mark: fmt.Sprintf("CHAOS_ROUND=soak.%d", os.Getpid()), series: map[string][]sample{}}
	s.serve(viaFIFO, soakFIFOClients, "fifo-server", "--keep-alive", "--readers", strconv.Itoa(soakReaders))
	s.serve(viaMailbox, soakBoxClients, "shm-server", "--keep-alive")
	s.run(*soak)
	s.end()
	for _, name := range s.names {
		if fault := flat(s.series[name]); fault != "" {
			t.Errorf("%s: %s", name, fault)
		}
	}
}

// soaking is a soak under way.
type soaking struct {
	t       *testing.T
	mark    string
	servers []*soaked
	names   []string // of the processes sampled, in their order
	series  map[string][]sample
}

// soaked is a server with its clients.
type soaked struct {
	t         *testing.T
	mechanism mechanism
	dir       string
	process   *suitetest.Process
	printed   chan struct{} // closed when nothing more is printed
	clients   []*soakClient
	served    int // clients so far

	mu          sync.Mutex
	outstanding map[string]bool // texts fed and not printed
	count       int             // of texts printed
}

type soakClient struct {
	*process
	id, seq int
	born    time.Time
}

// serve starts a server and its clients.
func (s *soaking) serve(m mechanism, clients int, args ...string) {
	d := &soaked{t: s.t, mechanism: m, dir: s.t.TempDir(), printed: make(chan struct{}), outstanding: map[string]bool{}}
	d.process = launch(s.t, s.mark, d.dir, args...)
	go d.watch()
	for range clients {
		d.clients = append(d.clients, d.newClient(s.mark))
	}
	s.servers = append(s.servers, d)
}

func (d *soaked) newClient(mark string) *soakClient {
	c := &soakClient{
		process: start(d.t, mark, d.dir, d.mechanism.client[0], "--wait", "20s", "--quiet"),
		id:      d.served,
		born:    time.Now(),
	}
	d.served++
	return c
}

// watch compares what is printed with what was fed.
func (d *soaked) watch() {
	defer close(d.printed)
	for lines := bufio.NewScanner(d.process.Stdout); lines.Scan(); {
		text := lines.Text()
		if d.mechanism.readers {
			text = text[len(readerHead.FindString(text)):]
		}
		d.mu.Lock()
		if !d.outstanding[text] {
			d.t.Errorf("%s printed, and was not fed or was printed before: %.80q", d.mechanism.name, text)
		}
		delete(d.outstanding, text)
		d.count++
		d.mu.Unlock()
	}
}

// feed feeds a client its next line.
func (d *soaked) feed(c *soakClient) {
	l := line{client: c.id, seq: c.seq, size: 10 + c.seq*37%300}
	c.seq++
	d.mu.Lock()
	d.outstanding[l.text()] = true
	d.mu.Unlock()
	c.Send(l.text())
}

// run feeds the clients, replaces every second one from time to time, and takes
// samples, once a minute or more often in a short run.
func (s *soaking) run(duration time.Duration) {
	begin := time.Now()
	pace := time.NewTicker(soakPace)
	defer pace.Stop()
	every := min(time.Minute, duration/20)
	next := every
	for now := time.Duration(0); now < duration && !s.t.Failed(); now = time.Since(begin) {
		<-pace.C
		for _, d := range s.servers {
			for i, c := range d.clients {
				// Not all at once.
				if i%2 == 1 && time.Since(c.born) > soakLife+time.Duration(i)*time.Second {
					c.EOF().Exit(0)
					c = d.newClient(s.mark)
					d.clients[i] = c
				}
				d.feed(c)
			}
		}
		if now >= next {
			next += every
			s.sample(now.Round(time.Second))
		}
	}
}

// end ends all, and looks at what is left.
func (s *soaking) end() {
	for _, d := range s.servers {
		for _, c := range d.clients {
			c.EOF().Exit(0)
		}
		d.process.Signal(unix.SIGTERM)
		d.process.Exit(128 + int(unix.SIGTERM))
		<-d.printed
		if len(d.outstanding) > 0 {
			s.t.Errorf("%s: %d messages are not printed", d.mechanism.name, len(d.outstanding))
		}
		for _, fault := range suitetest.Leftovers(d.dir, projID) {
			s.t.Error(fault)
		}
		s.t.Logf("%s: %d messages of %d clients, each printed once", d.mechanism.name, d.count, d.served)
	}
	for _, fault := range suitetest.LeftRunning(s.mark) {
		s.t.Error(fault)
	}
}

// sample is what a process has at one time.
type sample struct {
	rss int // KiB
	fds int
}

func (s *soaking) sample(at time.Duration) {
	var row strings.Builder
	add := func(name string, pid int) {
		a := sample{rss: residentKiB(pid), fds: descriptors(pid)}
		if s.series[name] == nil {
			s.names = append(s.names, name)
		}
		s.series[name] = append(s.series[name], a)
		fmt.Fprintf(&row, "  %s %.1f/%d", name, float64(a.rss)/1024, a.fds)
	}
	for _, d := range s.servers {
		add(d.process.Cmd.Args[0], d.process.PID())
		if d.mechanism.readers {
			for i, pid := range suitetest.Children(d.process.PID()) {
				add(fmt.Sprintf("reader%d", i), pid)
			}
		}
		for i, c := range d.clients {
			if i%2 == 0 { // those that stay
				add(fmt.Sprintf("%s%d", d.mechanism.client[0], i), c.PID())
			}
		}
		d.mu.Lock()
		fmt.Fprintf(&row, "  [%d printed, %d on their way]", d.count, len(d.outstanding))
		d.mu.Unlock()
	}
	s.t.Logf("%v: MiB/descriptors:%s", at, row.String())
}

// residentKiB returns VmRSS of proc(5).
func residentKiB(pid int) int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for l := range strings.Lines(string(status)) {
		if f := strings.Fields(l); f[0] == "VmRSS:" {
			return number(f[1])
		}
	}
	return -1
}

// flat says what has grown from the first quarter of the samples, after a tenth
// in which the process warms up, to the last quarter: in the mean, its memory by
// more than a tenth and 1 MiB, or, at most, its descriptors.
func flat(series []sample) string {
	warm := series[len(series)/10:]
	quarter := len(warm) / 4
	if quarter == 0 || slices.ContainsFunc(series, func(s sample) bool { return s.rss < 0 || s.fds < 0 }) {
		return "it was not there all the time"
	}
	first, last := warm[:quarter], warm[len(warm)-quarter:]
	mean := func(s []sample) (sum int) {
		for _, a := range s {
			sum += a.rss
		}
		return sum / len(s)
	}
	most := func(s []sample) (n int) {
		for _, a := range s {
			n = max(n, a.fds)
		}
		return n
	}
	if a, b := mean(first), mean(last); b > a+a/10+1024 {
		return fmt.Sprintf("resident memory has grown from %d to %d KiB", a, b)
	}
	if a, b := most(first), most(last); b > a {
		return fmt.Sprintf("descriptors have grown from %d to %d", a, b)
	}
	return ""
}

func TestFlatSeesGrowth(t *testing.T) {
	series := func(rss, fds func(i int) int) (s []sample) {
		for i := range 60 {
			s = append(s, sample{rss(i), fds(i)})
		}
		return s
	}
	constant := func(n int) func(int) int { return func(int) int { return n } }
	tests := map[string]struct {
		series []sample
		fault  bool
	}{
		"nothing changes":         {series(constant(6000), constant(9)), false},
		"memory goes up and down": {series(func(i int) int { return 6000 + i%2*900 }, constant(9)), false},
		"memory of the start":     {series(func(i int) int { return 6000 + min(i, 5)*1000 }, constant(9)), false},
		"a leak of memory":        {series(func(i int) int { return 6000 + i*50 }, constant(9)), true},
		"a leak of descriptors":   {series(constant(6000), func(i int) int { return 9 + i/30 }), true},
		"a process that has gone": {series(constant(6000), func(i int) int { return 9 - i/59*10 }), true},
	}
	for name, tt := range tests {
		if fault := flat(tt.series); (fault != "") != tt.fault {
			t.Errorf("%s: %q", name, fault)
		}
	}
}
