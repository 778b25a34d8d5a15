package chaos

import (
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// checkStream is check for a stream of bytes. What is promised:
//
//   - What is written is the beginning of what was fed.
//   - A client that ends with exit code 0 has had all of it written, and one that
//     was not killed tells how many bytes were written: no more than there are,
//     and no fewer, unless a signal has ended the one side in mid-stream.
//   - So does a server that was not killed and has not got the end.
func (o *outcome) checkStream(f *findings) {
	if len(o.clients) == 0 { // it met its end before there was one
		o.checkServer(f)
		return
	}
	c, s := o.clients[0], o.server
	var all strings.Builder
	fed := 0 // bytes of whole lines; of one more, a part may have been
	for i, l := range c.lines {
		if i == c.fed {
			fed = all.Len()
		}
		all.WriteString(l.text() + "\n")
	}
	if c.fed == len(c.lines) {
		fed = all.Len()
	}
	written := len(o.stdout)
	o.printedWhole = strings.Count(o.stdout, "\n")
	if !strings.HasPrefix(all.String(), o.stdout) {
		f.add("the %d bytes written are not those that were fed, from byte %d on", written, common(all.String(), o.stdout))
	}

	finished := c.killed == 0 && c.code == 0
	switch {
	case finished && c.counted, finished && written != fed:
		f.add("the client: %v, fed %d bytes, of which %d are written", c.end, fed, written)
	case finished:
	case c.killed != 0 && c.signalled():
	case !c.counted || c.code != 1 && !c.signalled():
		f.add("the client: %v, having been sent %v, says %v", c.end, c.signals, c.counted)
	case c.delivered > written:
		f.add("the client was told that %d bytes were delivered, of which %d are written", c.delivered, written)
	case c.delivered < written && s.killed == 0 && !c.signalled() && !s.more:
		f.add("the client was told that %d bytes were delivered, but %d are written", c.delivered, written)
	case c.total < c.delivered:
		f.add("the client says %d bytes delivered of %d", c.delivered, c.total)
	}

	switch {
	case s.killed != 0 && s.signalled():
	case s.killed == 0 && s.code == 0 && !s.counted:
		if written != fed && c.killed == 0 && !c.signalled() {
			f.add("the server: %v, having written %d of %d bytes", s.end, written, fed)
		}
	case s.killed != 0 || !s.counted || s.code != 1 && !s.signalled():
		f.add("the server: %v, having been sent %v, says %v", s.end, s.signals, s.counted)
	case s.delivered > written || s.delivered < written && !s.more:
		f.add("the server says %d bytes delivered, and %d are written", s.delivered, written)
	case finished && !s.signalled():
		f.add("the server: %v, and the client: %v", s.end, c.end)
	}
}

// common returns how many bytes two texts have in common.
func common(a, b string) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

func TestCheckKnowsTheStream(t *testing.T) {
	const all = 5 * 21 // bytes, in five lines
	serverKilled := func(o *outcome, written, delivered int) {
		o.stdout = o.stdout[:written]
		o.server.end = end{code: -1, killed: unix.SIGKILL, signals: []syscall.Signal{unix.SIGKILL}}
		o.clients[0].code, o.clients[0].counted, o.clients[0].delivered, o.clients[0].total = 1, true, delivered, all
	}
	clientKilled := func(o *outcome, written, delivered int) {
		o.stdout = o.stdout[:written]
		o.clients[0].end = end{code: -1, killed: unix.SIGKILL, signals: []syscall.Signal{unix.SIGKILL}}
		o.server.code, o.server.counted, o.server.delivered = 1, true, delivered
	}
	tests := map[string]struct {
		change func(o *outcome)
		want   string
	}{
		"nothing":                  {func(*outcome) {}, ""},
		"a byte is dropped":        {func(o *outcome) { o.stdout = o.stdout[:30] + o.stdout[31:] }, "not those that were fed, from byte 30 on"},
		"the last is dropped":      {func(o *outcome) { o.stdout = o.stdout[:all-1] }, "fed 105 bytes, of which 104 are written"},
		"a byte is doubled":        {func(o *outcome) { o.stdout = o.stdout[:31] + o.stdout[30:] }, "not those that were fed, from byte 31 on"},
		"a byte is another":        {func(o *outcome) { o.stdout = o.stdout[:30] + "!" + o.stdout[31:] }, "not those that were fed, from byte 30 on"},
		"the server is killed":     {func(o *outcome) { serverKilled(o, 50, 50) }, ""},
		"before it could say so":   {func(o *outcome) { serverKilled(o, 50, 40) }, ""},
		"before it has written":    {func(o *outcome) { serverKilled(o, 50, 51) }, "told that 51 bytes were delivered, of which 50 are written"},
		"the client is killed":     {func(o *outcome) { clientKilled(o, 50, 50) }, ""},
		"and the server says more": {func(o *outcome) { clientKilled(o, 50, 51) }, "the server says 51 bytes delivered, and 50 are written"},
		"and the server says less": {func(o *outcome) { clientKilled(o, 50, 49) }, "the server says 49 bytes delivered, and 50 are written"},
		"and it says nothing":      {func(o *outcome) { clientKilled(o, 50, 50); o.server.counted = false }, "the server: exit code 1"},
		"a client that crashes":    {func(o *outcome) { o.clients[0].code = 2 }, "the client: exit code 2"},
		"the server alone fails":   {func(o *outcome) { o.server = serverEnd{end: end{code: 1}, counted: true, delivered: all} }, "the server: exit code 1, and the client: exit code 0"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := &outcome{plan: plan{mechanism: viaStream}}
			for seq := range 5 {
				o.lines = append(o.lines, line{seq: seq, size: 20})
				o.stdout += o.lines[seq].text() + "\n"
			}
			o.clients = []clientEnd{{lines: o.lines, fed: 5}}
			tt.change(o)
			expectFound(t, o, tt.want)
		})
	}
}
