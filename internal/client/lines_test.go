package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// all reads until the end; a line that is too long is shown by its length.
func all(r *lineReader) (got []string, err error) {
	for {
		line, n, err := r.next()
		switch {
		case errors.Is(err, io.EOF):
			return got, nil
		case err != nil:
			return got, err
		case line == nil && n > 0:
			got = append(got, fmt.Sprintf("too long: %d", n))
		case len(line) != n:
			return got, fmt.Errorf("line %q has length %d", line, n)
		default:
			got = append(got, string(line))
		}
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	const limit = 16
	long := strings.Repeat("x", limit)
	for _, tc := range []struct {
		name, input string
		want        []string
	}{
		{"no input has no lines", "", nil},
		{"a newline is an empty line", "\n", []string{""}},
		{"the last line needs no newline", "a\nb", []string{"a", "b"}},
		{"carriage returns are kept", "a\r\nb\r\n", []string{"a\r", "b\r"}},
		{"NUL and invalid UTF-8 are kept", "a\x00b\xff\n", []string{"a\x00b\xff"}},
		{"a line may have the full length", long + "\n" + long, []string{long, long}},
		{"one byte more is too long", long + "y\nz\n", []string{"too long: 17", "z"}},
		{"also at the end without newline", long + "y", []string{"too long: 17"}},
		{"what is too long is counted to its end", strings.Repeat("x", 1000) + "\nz", []string{"too long: 1000", "z"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for _, input := range []io.Reader{strings.NewReader(tc.input), iotest.OneByteReader(strings.NewReader(tc.input))} {
				got, err := all(newLineReader(input, limit))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("lines (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestNextReturnsTheErrorOfTheInput(t *testing.T) {
	t.Parallel()
	input := io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(io.ErrClosedPipe))
	got, err := all(newLineReader(input, 16))
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got error %v, want %v", err, io.ErrClosedPipe)
	}
	if diff := cmp.Diff([]string{"a"}, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// terminal is an input that ends again and again, at each empty part.
type terminal []string

func (t *terminal) Read(p []byte) (int, error) {
	part := (*t)[0]
	*t = (*t)[1:]
	if part == "" {
		return 0, io.EOF
	}
	return copy(p, part), nil
}

func TestATerminalIsEndedOnce(t *testing.T) {
	t.Parallel()
	for last, want := range map[string]string{"b": "b", strings.Repeat("x", 10): "too long: 10"} {
		r := newLineReader(&terminal{"a\n", last, "", "c\n", ""}, 4)
		got, err := all(r)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"a", want}, got); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
	}
}

func TestNextDoesNotAllocate(t *testing.T) {
	r := newLineReader(strings.NewReader(strings.Repeat("a line\n", 2000)), 4096)
	if n := testing.AllocsPerRun(1000, func() {
		if _, _, err := r.next(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a line, want none", n)
	}
}

// FuzzNext compares with strings.Split, however the input comes in pieces.
func FuzzNext(f *testing.F) {
	f.Add([]byte("a\nb"), uint8(16))
	f.Add([]byte("\n\n"), uint8(1))
	f.Add([]byte(strings.Repeat("x", 40)+"\ny"), uint8(16))
	f.Add([]byte(strings.Repeat("x", 33)), uint8(16))
	f.Add([]byte(strings.Repeat("x", 17)), uint8(16)) // with io.EOF at once, was returned as a line
	f.Fuzz(func(t *testing.T, input []byte, limit uint8) {
		limit = max(limit, 16) // bufio has no smaller buffers
		var want []string
		for line := range strings.Lines(string(input)) {
			line = strings.TrimSuffix(line, "\n")
			if len(line) > int(limit) {
				line = fmt.Sprintf("too long: %d", len(line))
			}
			want = append(want, line)
		}
		for _, in := range []io.Reader{bytes.NewReader(input), iotest.HalfReader(bytes.NewReader(input)), iotest.DataErrReader(bytes.NewReader(input))} {
			got, err := all(newLineReader(in, int(limit)))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("lines of %q: %q, want %q", input, got, want)
			}
		}
	})
}

func BenchmarkNext(b *testing.B) {
	for _, length := range []int{16, 64, 1024} {
		b.Run(fmt.Sprintf("%dB", length), func(b *testing.B) {
			r := newLineReader(&endless{line: strings.Repeat("x", length-1) + "\n"}, 4096)
			b.SetBytes(int64(length))
			b.ReportAllocs()
			for b.Loop() {
				if _, n, err := r.next(); n != length-1 || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}

// endless is one line again and again.
type endless struct {
	line string
	at   int
}

func (e *endless) Read(p []byte) (n int, err error) {
	for n < len(p) {
		m := copy(p[n:], e.line[e.at:])
		n += m
		e.at = (e.at + m) % len(e.line)
	}
	return n, nil
}
