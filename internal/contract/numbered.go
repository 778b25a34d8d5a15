package contract

import (
	"bytes"
	"fmt"
	"strconv"
)

// Numbered returns text with the number of the message at both ends:
//
//	#17 hello #17
//
// So a reader can tell whether the message is whole, and whether the one before it is
// missing or came twice.
func Numbered(n int, text []byte) []byte {
	return fmt.Appendf(nil, "#%d %s #%d", n, text, n)
}

// Number takes a message apart: numbered reports whether a number stands in front, which
// is n, and whole whether the same number stands at the end. Only then body is the text
// between the two.
func Number(message []byte) (n uint64, body []byte, numbered, whole bool) {
	if len(message) == 0 || message[0] != '#' {
		return 0, nil, false, false
	}
	mark, rest, _ := bytes.Cut(message, []byte{' '})
	n, err := strconv.ParseUint(string(mark[1:]), 10, 64)
	if err != nil {
		return 0, nil, false, false
	}
	end := bytes.LastIndexByte(rest, ' ')
	if end < 0 || !bytes.Equal(rest[end+1:], mark) {
		return n, nil, true, false
	}
	return n, rest[:end], true, true
}
