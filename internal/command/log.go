package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
	"github.com/urfave/cli/v2"

	"example.com/ipcsuite/internal/grace"
)

const (
	formatText = "text"
	formatJSON = "json"
)

type level int

const (
	levelDebug level = iota
	levelNotice
	levelWarn
	levelError
)

var levelNames = [...]string{"debug", "notice", "warn", "error"}

func (l level) String() string { return levelNames[l] }

// Log writes what happens to stderr, in the shape
//
//	| 1732440000 | Notice | message key=value
//
// or as JSON, an object a line. It is safe for concurrent use.
type Log struct {
	out   zerolog.Logger
	lines io.Writer
	least level
}

// newLog returns a Log to stderr. When ctx is done, it no longer waits for a stderr that
// takes nothing.
func newLog(ctx context.Context, stderr *os.File, format string, least level) *Log {
	lines := grace.Lines(ctx, stderr)
	out := lines
	if format == formatText {
		colour := isatty.IsTerminal(stderr.Fd()) && os.Getenv("NO_COLOR") == ""
		out = textWriter(out, colour)
	}
	return &Log{out: zerolog.New(out), lines: lines, least: least}
}

// Lines returns a writer of lines to stderr as they are: of a prompt, or of what
// --explain shows. It waits for stderr no longer than the Log does, and never fails.
func (l *Log) Lines() io.Writer { return l.lines }

// Debug starts a log line about a step that only its maker wants to see.
func (l *Log) Debug() *zerolog.Event { return l.event(levelDebug) }

// Notice starts a log line about a step.
func (l *Log) Notice() *zerolog.Event { return l.event(levelNotice) }

// Warn starts a log line about what went wrong and was mended.
func (l *Log) Warn() *zerolog.Event { return l.event(levelWarn) }

// Error starts a log line about what failed.
func (l *Log) Error() *zerolog.Event { return l.event(levelError) }

// event writes level and time itself: zerolog has no level "notice", and
// keeps its time format in a global variable.
func (l *Log) event(lv level) *zerolog.Event {
	if lv < l.least {
		return nil // on which all methods of an Event do nothing
	}
	return l.out.Log().
		Str(zerolog.LevelFieldName, lv.String()).
		Int64(zerolog.TimestampFieldName, time.Now().Unix())
}

func textWriter(w io.Writer, colour bool) io.Writer {
	return zerolog.ConsoleWriter{
		Out:        w,
		NoColor:    !colour,
		PartsOrder: []string{zerolog.TimestampFieldName, zerolog.LevelFieldName, zerolog.MessageFieldName},

		FormatTimestamp: func(v any) string { return fmt.Sprintf(" | %v", v) },
		FormatLevel:     func(v any) string { return "| " + title(fmt.Sprint(v), colour) },
		FormatMessage:   func(v any) string { return fmt.Sprintf("| %v", v) },
	}
}

// title is the level as the text shows it.
func title(name string, colour bool) string {
	const yellow, red = "33", "31"
	text, code := strings.ToUpper(name[:1])+name[1:], ""
	switch name {
	case levelWarn.String():
		text, code = "Warning", yellow
	case levelError.String():
		code = red
	}
	if !colour || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// formatOf returns the log format that a command line asks for, or else the
// environment: for errors that come before the flags are read, and by which they
// are not.
func formatOf(argv []string) string {
	format := os.Getenv(envVar("log-format"))
	for i, arg := range argv {
		if arg == "--" {
			break
		}
		flag, value, inOne := strings.Cut(arg, "=")
		if flag != "-log-format" && flag != "--log-format" {
			continue
		}
		if !inOne && i+1 < len(argv) {
			value = argv[i+1]
		}
		format = value
	}
	if format == formatJSON {
		return formatJSON
	}
	return formatText
}

// setUp reads the log flags. Where the format is none of those read so far, it may
// be one of a subcommand's.
func setUp(c *cli.Context, env *Env, argv []string) error {
	format := c.String("log-format")
	if !c.IsSet("log-format") {
		format = formatOf(argv)
	}
	if format != formatText && format != formatJSON {
		return UsageErrorf("--log-format %q: want text or json", format)
	}
	for i, name := range levelNames {
		if name == c.String("log-level") {
			*env.Log = *newLog(c.Context, env.Stderr, format, level(i))
			return nil
		}
	}
	return UsageErrorf("--log-level %q: want one of %s", c.String("log-level"), strings.Join(levelNames[:], ", "))
}
