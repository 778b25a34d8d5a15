package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/pkg/pipe"
)

// experiment is something that is said about pipes and can be seen.
type experiment struct {
	name               string
	did, expected, why string
	// see makes it, and returns what was seen and whether it was as expected.
	see func(*lab) (seen string, holds bool)
}

// tooLong ends an experiment that waits for what does not happen. It is far
// more than any takes, and is there to make a FAIL of what would be a hang.
const tooLong = 20 * time.Second

// trial runs experiments and reports each on a line.
type trial struct {
	env     *command.Env
	kind    string // case or fact
	all     []experiment
	json    bool
	limit   time.Duration // of an experiment
	newPipe func(flags int) (r, w *os.File, err error)
}

// finding is the report on an experiment, for programs.
type finding struct {
	Case     json.Number `json:"case,omitempty"`
	Fact     string      `json:"fact,omitempty"`
	Pass     bool        `json:"pass"`
	Did      string      `json:"did"`
	Expected string      `json:"expected"`
	Seen     string      `json:"seen"`
	Why      string      `json:"why"`
	Unseen   []string    `json:"unseen,omitempty"`
}

func (t *trial) run(ctx context.Context, names []string) error {
	for _, name := range names {
		known := func(e experiment) bool { return e.name == name }
		if !slices.ContainsFunc(t.all, known) {
			return t.unknown(name)
		}
	}
	var failed []string
	for _, e := range t.all {
		if len(names) > 0 && !slices.Contains(names, e.name) {
			continue
		}
		f, err := t.try(ctx, e)
		if err != nil {
			return err
		}
		if err := t.print(e.name, f); err != nil {
			return err
		}
		if !f.Pass {
			failed = append(failed, e.name)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("not seen as expected: %s %s: what was seen instead is on stdout", t.kind, strings.Join(failed, ", "))
	}
	return nil
}

func (t *trial) unknown(name string) error {
	if strings.HasPrefix(name, "-") {
		return command.UsageErrorf("argument %q: flags come before the names of %ss", name, t.kind)
	}
	return command.UsageErrorf("%s %q: want any of %s, or none for all", t.kind, name, names(t.all))
}

func names(all []experiment) string {
	var list []string
	for _, e := range all {
		list = append(list, e.name)
	}
	return strings.Join(list, ", ")
}

// try makes an experiment. The error is of a user who has ended the program; an
// experiment that could not be made is one that does not hold.
func (t *trial) try(ctx context.Context, e experiment) (finding, error) {
	limited, cancel := context.WithTimeoutCause(ctx, t.limit, fmt.Errorf("it had not come to its end after %v", t.limit))
	defer cancel()
	l := &lab{ctx: limited, stderr: t.env.Stderr, newPipe: t.newPipe}
	defer l.close()

	seen, holds := e.see(l)
	if ctx.Err() != nil {
		return finding{}, context.Cause(ctx)
	}
	if l.err != nil {
		seen, holds = fmt.Sprintf("the experiment could not be completed: %v", l.err), false
	}
	return finding{
		Pass: holds, Did: e.did, Expected: e.expected, Seen: seen, Why: e.why,
		Unseen: slices.Compact(l.unseen),
	}, nil
}

// print reports a finding in one write, for people as
//
//	case 1: PASS  What was done. Expected: … Seen: … Why: …
//
// on a terminal broken between words; and for programs as a JSON object.
func (t *trial) print(name string, f finding) error {
	if t.json {
		if t.kind == "case" {
			f.Case = json.Number(name)
		} else {
			f.Fact = name
		}
		encoder := json.NewEncoder(t.env.Stdout)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(f)
	}
	verdict := "PASS"
	if !f.Pass {
		verdict = "FAIL"
	}
	line := fmt.Sprintf("%s %s: %s  %s. Expected: %s. Seen: %s. Why: %s.", t.kind, name, verdict, f.Did, f.Expected, f.Seen, f.Why)
	if len(f.Unseen) > 0 {
		line += " Not shown here: " + strings.Join(f.Unseen, "; ") + "."
	}
	if size, err := unix.IoctlGetWinsize(int(t.env.Stdout.Fd()), unix.TIOCGWINSZ); err == nil { // a terminal
		line = fold(line, int(size.Col))
	}
	_, err := fmt.Fprintln(t.env.Stdout, line)
	return err
}

// fold breaks a line between words, as a terminal would not, and indents the rest.
func fold(line string, width int) string {
	const indent = "    "
	if width < 40 { // a terminal that does not know, or that is too narrow
		return line
	}
	var folded strings.Builder
	column := 0
	for i, word := range strings.Split(line, " ") {
		length := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+length > width:
			folded.WriteString("\n" + indent)
			column = len(indent)
		default:
			folded.WriteByte(' ')
			column++
		}
		folded.WriteString(word)
		column += length
	}
	return folded.String()
}

// newTrial is a trial on real pipes.
func newTrial(env *command.Env, kind string, all []experiment, asJSON bool) *trial {
	return &trial{env: env, kind: kind, all: all, json: asJSON, limit: tooLong, newPipe: pipe.New}
}
