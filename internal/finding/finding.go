// Package finding makes experiments with what is said of the kernel, and reports each on a
// line: what was done, expected and seen, why, and PASS or FAIL.
package finding

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"example.com/ipcsuite/internal/command"
)

// Experiment is something that is said and can be seen.
type Experiment struct {
	Name               string
	Did, Expected, Why string
	// See makes the experiment. An experiment that could not be made does not hold; an
	// error is for what ends the program.
	See func(ctx context.Context) (Sight, error)
}

// Sight is what was seen in an experiment.
type Sight struct {
	Seen   string
	Holds  bool     // it is as expected
	Unseen []string // what the kernel would not show, and why
	// Moves is for programs only: the figures behind Seen, if there are any.
	Moves any
}

// Series is a catalogue of experiments, and where they are reported.
type Series struct {
	Kind string // of the experiments: case, fact, copies
	All  []Experiment
	Out  io.Writer
	JSON bool // for programs, an object a line
}

// Names returns the names of the experiments, separated by sep.
func (s Series) Names(sep string) string {
	var names []string
	for _, e := range s.All {
		names = append(names, e.Name)
	}
	return strings.Join(names, sep)
}

// Check fails if there is no experiment with one of the names.
func (s Series) Check(names []string) error {
	for _, name := range names {
		known := func(e Experiment) bool { return e.Name == name }
		switch {
		case slices.ContainsFunc(s.All, known):
		case strings.HasPrefix(name, "-"):
			return command.UsageErrorf("argument %q: flags come before the names", name)
		default:
			return command.UsageErrorf("%s %q: want any of %s, or none for all", s.Kind, name, s.Names(", "))
		}
	}
	return nil
}

// Run makes the experiments with those names, in the order of the catalogue, or all of
// them if there is no name. It fails if one does not hold, and as [Series.Check] does.
func (s Series) Run(ctx context.Context, names []string) error {
	if err := s.Check(names); err != nil {
		return err
	}
	var failed []string
	for _, e := range s.All {
		if len(names) > 0 && !slices.Contains(names, e.Name) {
			continue
		}
		seen, err := e.See(ctx)
		if err == nil {
			err = s.print(e, seen)
		}
		if err != nil {
			return err
		}
		if !seen.Holds {
			failed = append(failed, e.Name)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("not seen as expected: %s %s: what was seen instead is on stdout", s.Kind, strings.Join(failed, ", "))
	}
	return nil
}
