package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/internal/suitetest"
)

// The server prints the bytes of a line as they are. The client refuses a line that is too
// long, names it by its number, and sends the others.
func TestLinesArriveByteForByte(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("x", n) }
	tests := map[string]struct {
		input   string
		want    []string
		refused string
	}{
		"nothing":                      {},
		"an empty line":                {input: "\n", want: []string{""}},
		"empty lines among others":     {input: "\na\n\n\nb\n", want: []string{"", "a", "", "", "b"}},
		"no newline at the end":        {input: "a\nb", want: []string{"a", "b"}},
		"CRLF":                         {input: "a\r\n\r\nb\r\n", want: []string{"a\r", "\r", "b\r"}},
		"NUL bytes":                    {input: "\x00\na\x00b\n", want: []string{"\x00", "a\x00b"}},
		"invalid UTF-8":                {input: "\xff\xfe\n\xc3\n", want: []string{"\xff\xfe", "\xc3"}},
		"escape sequences":             {input: "\x1b[31mred\n", want: []string{"\x1b[31mred"}},
		"4095 and 4096 bytes":          {input: long(4095) + "\n" + long(4096) + "\n", want: []string{long(4095), long(4096)}},
		"4096 bytes without newline":   {input: long(4096), want: []string{long(4096)}},
		"4097 bytes":                   {input: "a\n" + long(4097) + "\nb\n", want: []string{"a", "b"}, refused: "line 2: 4097 bytes, at most 4096"},
		"4097 bytes without newline":   {input: "a\n" + long(4097), want: []string{"a"}, refused: "line 2: 4097 bytes, at most 4096"},
		"10 MB":                        {input: "a\n" + long(10_000_000) + "\nb\n", want: []string{"a", "b"}, refused: "line 2: 10000000 bytes, at most 4096"},
		"what looks like the server's": {input: "[ 1 ] client say : x\n" + eofLine + "\n", want: []string{"[ 1 ] client say : x", eofLine}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, s := newServer(t, "--readers", "1")
			c := startClient(t, dir)
			go func() {
				_, _ = io.WriteString(c.Stdin, tt.input)
				c.EOF()
			}()
			for _, text := range tt.want {
				expectMessage(t, s, text)
			}
			s.Prints(eofLine)
			s.Ends(0)
			if tt.refused == "" {
				c.Ends(0)
			} else {
				c.Await("Error .*" + tt.refused)
				c.Await(`Error .*: messages not delivered: 1 of \d+$`)
				c.Ends(1)
			}
			suitetest.Clean(t, dir, s, c)
		})
	}
}

func TestLongArgumentIsRefused(t *testing.T) {
	t.Parallel()
	dir, s := newServer(t, "--readers", "1")
	c := startClient(t, dir, strings.Repeat("x", 5000), strings.Repeat("y", 4096))
	c.Await("Error .*argument 1: 5000 bytes, at most 4096")
	c.Ends(1)
	expectMessage(t, s, strings.Repeat("y", 4096))
	s.Prints(eofLine)
	s.Ends(0)
	suitetest.Clean(t, dir, s, c)
}

// sendAll writes lines to stdin, and ends it.
func sendAll(p *suitetest.Process, lines []string) {
	w := bufio.NewWriter(p.Stdin)
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
	w.Flush()
	p.EOF()
}

// Of many lines that come fast, none is lost, repeated or inside another.
func TestManyLinesArriveWholeAndOnce(t *testing.T) {
	t.Parallel()
	dir, s := newServer(t, "--readers", "3")
	c := startClient(t, dir)
	lines := make([]string, 50_000)
	for i := range lines {
		lines[i] = fmt.Sprintf("%d %s", i, strings.Repeat("abcdefghij"[:1+i%10], i%37))
	}
	go sendAll(c, lines)
	expectRest(t, s, 3, lines...)
	c.Ends(0)
	s.Await(fmt.Sprintf("removed FIFO messages=%d$", len(lines)))
	s.Exit(0)
	suitetest.Clean(t, dir, s, c)
}

func TestTwoClientsAtOnceAreServed(t *testing.T) {
	t.Parallel()
	dir, s := newServer(t)
	var clients [2]*suitetest.Process
	for i := range clients {
		clients[i] = startClient(t, dir)
		clients[i].Send(fmt.Sprintf("client %d is there", i)) // before either ends
		s.Line()
	}
	var all []string
	for i, c := range clients {
		var lines []string
		for n := range 5000 {
			lines = append(lines, fmt.Sprintf("client %d line %d", i, n))
		}
		go sendAll(c, lines)
		all = append(all, lines...)
	}
	expectRest(t, s, 3, all...)
	for _, c := range clients {
		c.Ends(0)
	}
	s.Exit(0)
	suitetest.Clean(t, dir, s, clients[0], clients[1])
}

// The article's client opens the FIFO as a stream, without packets.
func TestStreamWriterIsServed(t *testing.T) {
	t.Parallel()
	dir, s := newServer(t, "--readers", "1")
	s.Await("waiting for a client")
	raw, err := os.OpenFile(filepath.Join(dir, contract.FIFOName), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	awaitReaders(t, s, 1)
	fmt.Fprint(raw, "hello")
	expectMessage(t, s, "hello")
	raw.Close()
	s.Prints(eofLine)
	s.Ends(0)
	suitetest.Clean(t, dir, s)
}

// A reader prints as soon as no other message waits, so that a person sees each line.
func TestServerPrintsAtOnce(t *testing.T) {
	t.Parallel()
	dir, s := newServer(t, "--keep-alive")
	c := startClient(t, dir)
	for i := range 100 {
		c.Send(fmt.Sprint(i))
		if pid := expectMessage(t, s, fmt.Sprint(i)); pid == s.PID() {
			t.Errorf("the server %d printed it, not a reader", pid)
		}
	}
	c.Ends(0)
	s.Signal(unix.SIGTERM)
	s.Ends(128 + int(unix.SIGTERM))
	suitetest.Clean(t, dir, s, c)
}
