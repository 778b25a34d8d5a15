package chaos

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/contract"
)

// outcome is what the programs of a round have said and printed.
type outcome struct {
	plan
	stdout  string
	server  serverEnd
	clients []clientEnd

	printedWhole int // set by check
}

// serverEnd is how a server has ended.
type serverEnd struct {
	end
	lost   int // the count of its last line
	held   int // the counts of all that it said of killed readers
	reaped int // readers that it saw killed
	// unreaped are the readers that were killed with nobody there to see it:
	// what they had in hand is in no count.
	unreaped int

	// Of a stream: it said how many bytes it had written, and possibly more.
	counted   bool
	delivered int
	more      bool
}

// clientEnd is how a client has ended.
type clientEnd struct {
	end
	lines   []line // that were meant for it
	fed     int    // of these, as many it could read
	counted bool   // it said how many messages were not delivered:
	lost    int
	total   int
	gone    bool // it said that the server has gone

	delivered int // bytes of a stream; then total is that of the bytes read
}

// end is how a process has ended.
type end struct {
	code    int
	killed  syscall.Signal   // 0: it has exited
	signals []syscall.Signal // that it was sent, and that should end it
}

func (e end) String() string {
	if e.killed != 0 {
		return "killed by " + unix.SignalName(e.killed)
	}
	return fmt.Sprintf("exit code %d", e.code)
}

// signalled reports whether the end is that of a signal that was sent.
func (e end) signalled() bool {
	if e.killed != 0 {
		return e.killed == unix.SIGKILL && slices.Contains(e.signals, e.killed)
	}
	return e.code > 128 && slices.Contains(e.signals, syscall.Signal(e.code-128))
}

// check says what is wrong. What is promised, and hence checked, is:
//
//   - No line is printed that was not fed, none twice, none in part, other than
//     the last one of a process that was killed.
//   - A client that was not killed tells by exit code and count how many of its
//     messages, the last ones, are not delivered. All before them are printed.
//     Through the FIFO, the server may say that it has lost some of them: it
//     then does so in a count and, unless a signal ended it, by exit code 1.
//   - Those that are not delivered are not printed. Where that cannot be known
//     they are "at most" so many: see extra.
func (o *outcome) check() []string {
	var f findings
	if o.mechanism.stream {
		o.checkStream(&f)
		return f
	}
	printed := o.parse(&f)
	missing, extra, undelivered := 0, 0, 0
	for i, c := range o.clients {
		m, e, u := c.check(&f, o.plan, o.server.killed != 0, i, printed[i])
		missing, extra, undelivered = missing+m, extra+e, undelivered+u
	}
	if most := o.mostExtra(); extra > most {
		f.add("%d messages are printed that clients counted as not delivered, at most %d can be", extra, most)
	}
	s := o.server
	counted := max(s.lost, s.held) // of a server that was killed there is no last line
	if missing > counted && s.unreaped == 0 {
		f.add("%d messages that clients were told were delivered are not printed, and the server counts %d", missing, counted)
	}
	// What was in the FIFO at the end counts on both sides.
	if rest := s.lost - s.held; s.killed == 0 && (rest < 0 || rest > missing+undelivered) {
		f.add("the server counts %d lost, %d with killed readers, but %d are missing and %d counted by clients", s.lost, s.held, missing, undelivered)
	}
	o.checkServer(&f)
	return f
}

// findings are what is wrong.
type findings []string

func (f *findings) add(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

// mostExtra is how many messages can have been printed although their client
// counts them as not delivered.
func (o *outcome) mostExtra() (most int) {
	if o.mechanism.readers {
		if len(o.clients) > 1 || o.server.reaped+o.server.unreaped > 0 {
			// The FIFO tells bytes. Those of others, and the marks by which
			// readers are stopped, look the same from a client.
			return len(o.lines)
		}
		return 0
	}
	if o.server.killed != 0 || o.server.lost > 0 {
		most++ // printed, and ended before it could say so
	}
	for _, c := range o.clients {
		if c.signalled() {
			most++ // it was in the segment, where a server may have found it later
		}
	}
	return most
}

// checkServer checks exit code and count of the server.
func (o *outcome) checkServer(f *findings) {
	s := o.server
	orderly := 0
	if s.lost > 0 {
		orderly = 1
	}
	switch {
	case s.signalled():
	case o.early && s.killed != 0 && slices.Contains(s.signals, s.killed): // before it could catch it
	case s.killed != 0 || s.code != orderly:
		f.add("the server: %v, having been sent %v and counted %d lost", s.end, s.signals, s.lost)
	}
}

// check compares what a client has said with what is printed of it, and returns
// how many messages it takes for delivered that are not printed, how many are
// printed that it does not, and how many it does not beside those it refused, at
// most.
func (c clientEnd) check(f *findings, p plan, serverKilled bool, index int, printed map[int]int) (missing, extra, undelivered int) {
	fault := func(format string, args ...any) {
		f.add("client %d, %v: %s", index, c.end, fmt.Sprintf(format, args...))
	}
	lines := c.lines[:c.fed]
	// What it has left in the FIFO is lost with a server that is killed before it
	// has read that, and the client that has gone by then cannot know.
	known := !p.mechanism.readers || !serverKilled || c.gone
	switch {
	case c.killed == 0 && c.code == 0 && !c.counted:
	case c.killed == 0 && c.code == 1 && c.counted && c.lost > 0:
	case c.signalled() && c.counted:
	case c.signalled(), c.killed == 0 && c.code == 1 && c.gone && !c.counted:
		known = false // how many it has sent, but none of them is lost
	default:
		fault("having been sent %v, with %d of %d said not delivered", c.signals, c.lost, c.total)
		return
	}
	if c.counted {
		if c.total > c.fed {
			fault("counts %d messages, was fed %d", c.total, c.fed)
			return
		}
		if c.code == 1 && !c.gone && c.total != c.fed {
			fault("counts %d messages, was fed %d, and knows of no server that has gone", c.total, c.fed)
		}
		lines = lines[:c.total]
	}
	var sent []line
	for _, l := range lines {
		if l.size <= p.mechanism.longest {
			sent = append(sent, l)
		} else if printed[l.seq] > 0 {
			fault("message %d of %d bytes is printed", l.seq, l.size)
		}
	}
	if !known {
		// It has sent all up to one, and that one is the last that is printed,
		// or a later one.
		last := -1
		for i, l := range sent {
			if printed[l.seq] > 0 {
				last = i
			}
		}
		return last + 1 - count(sent, printed), 0, len(sent) - (last + 1)
	}
	if c.counted {
		undelivered = c.lost - (len(lines) - len(sent))
	}
	if undelivered < 0 || undelivered > len(sent) {
		fault("counts %d of %d, %d of which are too long", c.lost, c.total, len(lines)-len(sent))
		return 0, 0, 0
	}
	if undelivered > 0 && !c.gone && !c.signalled() {
		fault("counts %d of %d, %d of which are too long, and knows of no server that has gone", c.lost, c.total, len(lines)-len(sent))
	}
	delivered := sent[:len(sent)-undelivered]
	missing = len(delivered) - count(delivered, printed)
	return missing, len(printed) - count(delivered, printed), undelivered
}

// count returns how many of the lines are printed.
func count(lines []line, printed map[int]int) (n int) {
	for _, l := range lines {
		if printed[l.seq] > 0 {
			n++
		}
	}
	return n
}

var (
	readerHead = regexp.MustCompile(`^\[ \d+ \] client say : `)
	digits     = regexp.MustCompile(`\d+`)
	textHead   = regexp.MustCompile(`^(\d+)\.(\d+) `)
)

const eofLine = "read end of file, client quit, server quit too"

// parse returns which messages of each client are printed, by seq, and how
// often.
func (o *outcome) parse(f *findings) []map[int]int {
	printed := make([]map[int]int, len(o.clients))
	last := make([]int, len(o.clients))
	for i := range printed {
		printed[i], last[i] = map[int]int{}, -1
	}
	torn := 0
	for text := range strings.Lines(o.stdout) {
		text, ended := strings.CutSuffix(text, "\n")
		c, l, whole := o.message(text)
		switch {
		case o.mechanism.readers && (text == "" || text == eofLine): // empty where a torn line was ended
		case !whole || !ended && o.server.killed != 0:
			// Of a killed process the newline may be missing alone.
			if torn++; !o.torn(text) {
				f.add("printed, and not fed: %.80q", text)
			}
		default:
			if printed[c][l.seq]++; printed[c][l.seq] > 1 {
				f.add("printed %d times: %.60q", printed[c][l.seq], text)
			}
			if inOrder := !o.mechanism.readers || o.readers == 1 && o.server.reaped == 0; inOrder && l.seq < last[c] {
				f.add("printed behind message %d: %.60q", last[c], text)
			}
			last[c] = l.seq
			o.printedWhole++
		}
	}
	killed := o.server.reaped + o.server.unreaped
	if !o.mechanism.readers && o.server.killed != 0 {
		killed = 1
	}
	if torn > killed {
		f.add("%d lines are torn, and %d processes that print were killed", torn, killed)
	}
	return printed
}

// message returns whose message a printed line is, if it is a whole one.
func (o *outcome) message(text string) (client int, l line, whole bool) {
	if o.mechanism.readers {
		head := readerHead.FindString(text)
		if head == "" {
			return 0, line{}, false
		}
		text = text[len(head):]
	}
	if text == contract.Quit && len(o.clients) > 0 {
		l := o.clients[0].lines[len(o.clients[0].lines)-1]
		return 0, l, l.quit
	}
	m := textHead.FindStringSubmatch(text)
	if m == nil {
		return 0, line{}, false
	}
	client, _ = strconv.Atoi(m[1])
	seq, _ := strconv.Atoi(m[2])
	if client >= len(o.clients) || seq >= len(o.clients[client].lines) {
		return 0, line{}, false
	}
	l = o.clients[client].lines[seq]
	return client, l, text == l.text()
}

// torn reports whether text can be the beginning of a line.
func (o *outcome) torn(text string) bool {
	if o.mechanism.readers {
		head := readerHead.FindString(text)
		if head == "" {
			return strings.HasPrefix("[ 0 ] client say : ", digits.ReplaceAllString(text, "0")) || strings.HasPrefix(eofLine, text)
		}
		text = text[len(head):]
	}
	m := textHead.FindStringSubmatch(text)
	if m == nil {
		return strings.HasPrefix("0.0", digits.ReplaceAllString(text, "0")) || o.quit && strings.HasPrefix(contract.Quit, text)
	}
	client, _ := strconv.Atoi(m[1])
	seq, _ := strconv.Atoi(m[2])
	return client < len(o.clients) && seq < len(o.clients[client].lines) &&
		strings.HasPrefix(o.clients[client].lines[seq].text(), text)
}
