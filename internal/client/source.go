// Package client is what the two clients have in common: where their messages
// come from, and how they find their server.
package client

import (
	"fmt"
	"io"

	"example.com/ipcsuite/internal/lines"
)

// Source is where messages come from.
type Source struct {
	// Kind is what the messages are called in an error: line, argument.
	Kind string
	// Next returns the next message and its length, which is all it returns of
	// one that is too long. Its last error is [io.EOF].
	Next func() (text []byte, length int, err error)
}

// Arguments is a Source of the command line's arguments.
func Arguments(args []string) Source {
	return Source{"argument", func() ([]byte, int, error) {
		if len(args) == 0 {
			return nil, 0, io.EOF
		}
		text := []byte(args[0])
		args = args[1:]
		return text, len(text), nil
	}}
}

// Lines is a Source of the lines of in, at most max bytes each. It prompts for
// each line on prompt, if that is not nil.
func Lines(in io.Reader, max int, prompt io.Writer) Source {
	input := lines.NewReader(in, max)
	return Source{"line", func() ([]byte, int, error) {
		if prompt != nil {
			fmt.Fprint(prompt, "> ")
		}
		return input.Next()
	}}
}
