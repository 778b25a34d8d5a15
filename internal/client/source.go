// Package client is what the two clients have in common: where their messages come from
// (source.go, lines.go), how they find their server (server.go) and wait for it (wait.go).
package client

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/mattn/go-isatty"
	"github.com/urfave/cli/v2"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/grace"
)

// Source is where messages come from.
type Source struct {
	kind string // what a message is called in an error
	// next returns the next message and its length, which is all that it returns of
	// one that is too long. Its last error is [io.EOF].
	next func() (text []byte, length int, err error)
}

// Message is one message of a Source.
type Message struct {
	kind   string
	number int // from 1
	// Text is valid until the next message comes, and nil if the message is longer than
	// the Source takes.
	Text   []byte
	Length int // of the message, in bytes
}

// String tells the user which message it is: "line 17".
func (m Message) String() string { return fmt.Sprint(m.kind, " ", m.number) }

// Fits fails if the message has more than max bytes.
func (m Message) Fits(max int) error {
	if m.Length > max {
		return fmt.Errorf("%d bytes, at most %d are one message", m.Length, max)
	}
	return nil
}

// Input is what the user gives a client to send: arguments, or without any the lines of
// stdin.
type Input struct {
	Arguments []string
	stdin     *os.File
	prompt    io.Writer // nil: stdin is no terminal, or --quiet
}

// InputOf returns what is to be sent. Arguments that cannot be messages are wrong usage.
func InputOf(env *command.Env, c *cli.Context) (Input, error) {
	arguments, err := command.Messages(c, os.Args)
	in := Input{Arguments: arguments, stdin: env.Stdin}
	if len(arguments) == 0 && isatty.IsTerminal(env.Stdin.Fd()) && !c.Bool("quiet") {
		in.prompt = env.Log.Lines()
	}
	return in, err
}

// Prompts reports whether a person is asked for each message.
func (in Input) Prompts() bool { return in.prompt != nil }

// EndPrompt keeps what follows off the line of a prompt that was not answered.
func (in Input) EndPrompt() {
	if in.prompt != nil {
		fmt.Fprintln(in.prompt)
	}
}

// Source returns the messages, of max bytes each at most if they are lines.
func (in Input) Source(max int) Source {
	if len(in.Arguments) > 0 {
		return argumentsOf(in.Arguments)
	}
	return linesOf(in.stdin, max, in.prompt)
}

func argumentsOf(args []string) Source {
	return Source{"argument", func() ([]byte, int, error) {
		if len(args) == 0 {
			return nil, 0, io.EOF
		}
		text := []byte(args[0])
		args = args[1:]
		return text, len(text), nil
	}}
}

func linesOf(stdin io.Reader, max int, prompt io.Writer) Source {
	input := newLineReader(stdin, max)
	return Source{"line", func() ([]byte, int, error) {
		if prompt != nil {
			fmt.Fprint(prompt, "> ")
		}
		return input.next()
	}}
}

// Each calls send with one message after another, and returns nil after the last. It
// fails with the error of send, or if the messages cannot be read. It is called with the
// lock of work, which it does not have while it waits for a message.
func (s Source) Each(work *grace.Work, send func(Message) error) error {
	for n := 1; ; n++ {
		work.Unlock()
		text, length, err := s.next()
		work.Lock()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read stdin: %w", err)
		}
		if err := send(Message{s.kind, n, text, length}); err != nil {
			return err
		}
	}
}
