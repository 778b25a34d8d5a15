package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/explain"
	"example.com/ipcsuite/internal/rundir"
)

// settings are what a run is told.
type settings struct {
	mechanisms []mechanism
	sizes      []int
	bench      *bench
	revision   string
	outputs    []output
}

// output is where a result goes, as what.
type output struct {
	flag, path string // "-": stdout
	write      func(result, io.Writer) error
}

func runCommand(ctx context.Context, env *command.Env, c *cli.Context) error {
	s, err := settingsOf(env, c)
	if err != nil {
		return err
	}
	if err := rundir.Open(s.bench.dir); err != nil {
		return err
	}
	return s.run(ctx, env)
}

// settingsOf reads the flags. Its errors are mistakes of the user's.
func settingsOf(env *command.Env, c *cli.Context) (*settings, error) {
	b := &bench{stderr: env.Stderr, dir: c.String("dir"), messages: c.Int("messages"), duration: c.Duration("duration"), evidence: explain.If(c.Bool("explain"), env.Log.Lines())}
	s := &settings{bench: b, mechanisms: mechanisms(), revision: c.App.Version}
	var err error
	if names := c.String("mechanism"); names != "" {
		if s.mechanisms, err = named(s.mechanisms, splitList(names)); err != nil {
			return nil, command.UsageErrorf("--mechanism %w", err)
		}
	}
	if s.sizes, err = parseSizes(c.String("size")); err != nil {
		return nil, command.UsageErrorf("--size %w", err)
	}
	if b.ringSize, err = parseSize(c.String("ring-size")); err != nil {
		return nil, command.UsageErrorf("--ring-size %w", err)
	}
	switch {
	case c.IsSet("messages") && c.IsSet("duration"):
		return nil, command.UsageErrorf("--messages and --duration: want one of them")
	case c.IsSet("messages") && (b.messages < 1 || b.messages > maxMessages):
		return nil, command.UsageErrorf("--messages %d: want 1 to %d", b.messages, maxMessages)
	case b.duration <= 0:
		return nil, command.UsageErrorf("--duration %v: want more than 0s", b.duration)
	}
	allowed, err := allowedCPUs()
	if err != nil {
		return nil, err
	}
	if b.cpus, err = choose(c.String("cpu"), allowed); err != nil {
		return nil, command.UsageErrorf("--cpu %w", err)
	}
	s.outputs, err = outputsOf(c)
	return s, err
}

func outputsOf(c *cli.Context) ([]output, error) {
	var all []output
	onStdout := ""
	for _, o := range []output{
		{"json", c.String("json"), result.writeJSON},
		{"csv", c.String("csv"), result.writeCSV},
		{"plot", c.String("plot"), plotAs(filepath.Ext(c.String("plot")))},
	} {
		switch ext := filepath.Ext(o.path); {
		case o.path == "":
			continue
		case o.flag == "plot" && ext != ".svg" && ext != ".png":
			return nil, command.UsageErrorf("--plot %s: want a name that ends in .svg or .png", o.path)
		case o.path == "-" && onStdout != "":
			return nil, command.UsageErrorf("--%s - and --%s -: only one of them can go to stdout", onStdout, o.flag)
		case o.path == "-":
			onStdout = o.flag
		case slices.ContainsFunc(all, func(a output) bool { return a.path != "-" && filepath.Clean(a.path) == filepath.Clean(o.path) }):
			return nil, command.UsageErrorf("--%s %s: another result goes to that file: name one for each", o.flag, o.path)
		default:
			// Better now than when all is measured.
			if err := writable(o.path); err != nil {
				return nil, fmt.Errorf("--%s %s: cannot be written: %w", o.flag, o.path, err)
			}
		}
		all = append(all, o)
	}
	return all, nil
}

func (s *settings) run(ctx context.Context, env *command.Env) error {
	bar := &progress{}
	if !s.bench.evidence.Wanted() { // whose lines show how far it is
		bar = newProgress(env.Stderr, len(s.sizes)*len(s.mechanisms))
	}
	defer bar.end()
	r := result{machine: thisMachine(s.revision), cpus: s.bench.cpus, clock: clockCost()}
	before, err := loadNow()
	if err != nil {
		return err
	}
	for _, size := range s.sizes {
		for _, m := range s.mechanisms {
			bar.next(fmt.Sprintf("%s, %s", m.name, sizeText(size)))
			row, err := s.bench.row(ctx, m, size)
			if err != nil {
				return err
			}
			r.rows = append(r.rows, row)
		}
	}
	after, err := loadNow()
	if err != nil {
		return err
	}
	r.disturbance = after.since(before)
	bar.end()
	if err := s.write(r, env.Stdout); err != nil {
		return err
	}
	for _, w := range r.warnings() {
		env.Log.Warn().Msg(w)
	}
	return nil
}

// write writes all outputs, and the table unless another has stdout.
func (s *settings) write(r result, stdout io.Writer) error {
	table := true
	for _, o := range s.outputs {
		if o.path == "-" {
			table = false
			if err := o.write(r, stdout); err != nil {
				return fmt.Errorf("write --%s to stdout: %w", o.flag, err)
			}
			continue
		}
		var content bytes.Buffer
		err := o.write(r, &content)
		if err == nil {
			err = os.WriteFile(o.path, content.Bytes(), 0o644)
		}
		if err != nil {
			return fmt.Errorf("write --%s %s: %w", o.flag, o.path, err)
		}
	}
	if !table {
		return nil
	}
	r.writeHeader(stdout)
	return r.writeTables(stdout)
}

// writable looks whether a file can be written, or made, without doing it.
func writable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return unix.Access(filepath.Dir(path), unix.W_OK)
	case err != nil:
		return err
	case info.IsDir():
		return unix.EISDIR
	}
	return unix.Access(path, unix.W_OK)
}

func splitList(list string) []string {
	words := strings.Split(list, ",")
	for i := range words {
		words[i] = strings.TrimSpace(words[i])
	}
	return words
}

func parseSizes(list string) ([]int, error) {
	var sizes []int
	for _, word := range splitList(list) {
		size, err := parseSize(word)
		if err != nil {
			return nil, err
		}
		sizes = append(sizes, size)
	}
	return sizes, nil
}

// maxSize is the largest message or ring, in bytes.
const maxSize = 1 << 30

// parseSize reads the size of a message or a ring.
func parseSize(word string) (int, error) {
	size, err := command.ParseSize(word)
	if err != nil || size < 1 || size > maxSize {
		return 0, fmt.Errorf("%q: want bytes, such as 64, 4k or 1M, up to %dM", word, maxSize>>20)
	}
	return size, nil
}
