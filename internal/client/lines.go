package client

import (
	"bufio"
	"errors"
	"io"
)

// lineReader splits a stream into lines of at most a given length, without ever
// holding more than that of a line that is longer. It is not safe for
// concurrent use.
type lineReader struct {
	r     *bufio.Reader
	max   int
	ended bool
}

// newLineReader returns a reader of lines of at most max bytes each, the newline
// not counted.
func newLineReader(r io.Reader, max int) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, max+len("\n")), max: max}
}

// next returns the next line without its newline, valid until the next call,
// and its length in bytes. Of a line longer than the limit it returns the
// length and no text. A last line needs no newline. At the end it fails with
// [io.EOF], which, unlike other errors, no line comes with.
func (r *lineReader) next() (line []byte, length int, err error) {
	if r.ended {
		return nil, 0, io.EOF
	}
	line, err = r.slice()
	switch {
	case err == nil:
		return line[:len(line)-1], len(line) - 1, nil
	case errors.Is(err, io.EOF) && len(line) > r.max: // it came together with the end
		return nil, len(line), nil
	case errors.Is(err, io.EOF) && len(line) > 0:
		return line, len(line), nil
	case !errors.Is(err, bufio.ErrBufferFull):
		return nil, 0, err
	}
	length = len(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = r.slice()
		length += len(line)
	}
	if err == nil {
		length-- // the newline
	} else if !errors.Is(err, io.EOF) {
		return nil, length, err
	}
	return nil, length, nil
}

// slice reads until a newline, or as much as fits. It remembers the end, behind
// which a terminal would be read on, and the user have to end twice.
func (r *lineReader) slice() ([]byte, error) {
	line, err := r.r.ReadSlice('\n')
	r.ended = errors.Is(err, io.EOF)
	return line, err
}
