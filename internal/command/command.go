// Package command is what all binaries of ipcsuite have in common on the
// command line: the flags that every one of them takes, each flag's
// environment variable, logs, signals and exit codes.
package command

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
)

// Env is what a command works with: everything outside the process that it
// may touch is here.
type Env struct {
	Stdin  *os.File
	Stdout *os.File
	Stderr *os.File
	Log    *Log
}

// Action is the work of a command. ctx is cancelled by SIGINT, SIGTERM and
// SIGHUP, its cause then being a [SignalError]; the Action cleans up and
// returns an error that wraps it.
type Action func(ctx context.Context, env *Env, c *cli.Context) error

// Spec describes a binary.
type Spec struct {
	Name, Usage string
	// ArgsUsage names the arguments; a command without it takes none.
	ArgsUsage string
	// Description explains and ends with examples.
	Description string
	// Flags returns the flags, new ones at each call: the cli package keeps
	// in them what it has parsed.
	Flags    func() []cli.Flag
	Action   Action
	Commands []Sub
}

// Sub is a subcommand.
type Sub struct {
	Name, Usage, ArgsUsage, Description string

	Flags  func() []cli.Flag
	Action Action
	// Default marks the subcommand that only spells out what the binary does
	// without one: it takes the binary's flags, before or behind its name.
	Default bool
}

// Main runs the binary and returns its exit code: 0 done, 1 failed, 2 wrong
// usage, 128+n ended by signal n.
func Main(spec Spec) int {
	env := &Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	env.Log = newLog(context.Background(), env.Stderr, formatOf(os.Args), levelNotice)

	// Without this, the first write to a closed stdout would kill the process
	// before it has cleaned up (os/signal, SIGPIPE); with it the write fails
	// with EPIPE. Ignoring the signal instead would be inherited by children.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	if err := enoughDescriptors(); err != nil {
		return report(env.Log, spec.Name, err)
	}
	ctx, stop := signalContext(context.Background())
	defer stop()
	return report(env.Log, spec.Name, execute(ctx, spec, env, os.Args))
}

// execute does what argv says.
func execute(ctx context.Context, spec Spec, env *Env, argv []string) error {
	err := newApp(spec, env, argv).RunContext(ctx, argv)
	// The cli package's own, about help with a command that there is not. An
	// action's are wrapped, or of other types.
	if help, ok := err.(cli.ExitCoder); ok { //nolint:errorlint // not what an action may have wrapped
		return usageError{help}
	}
	return err
}

// signalContext is signal.NotifyContext with a cause that tells the number. The
// signals stay caught after stop: one that comes when the process is on its way
// out must not take its exit code away.
func signalContext(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		select {
		case s := <-signals:
			cancel(SignalError{s.(syscall.Signal)}) // on Linux every signal is one
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// newApp returns what runs argv.
func newApp(spec Spec, env *Env, argv []string) *cli.App {
	environment := !completes(argv)
	app := &cli.App{
		Name:            spec.Name,
		Usage:           spec.Usage,
		ArgsUsage:       spec.ArgsUsage,
		Description:     spec.Description,
		Version:         version(),
		Flags:           flags(spec.Flags, environment),
		HideHelpCommand: true, // it would take the word "help" from those who send it
		Writer:          env.Stdout,
		ErrWriter:       env.Stderr,

		EnableBashCompletion: true,
		OnUsageError:         onUsageError,
		ExitErrHandler:       func(*cli.Context, error) {}, // Main reports
		Before:               func(c *cli.Context) error { return setUp(c, env, argv) },
		Action:               action(env, spec.ArgsUsage, spec.Action),
	}
	for _, sub := range spec.Commands {
		own := sub.Flags
		if sub.Default {
			own = spec.Flags
		}
		app.Commands = append(app.Commands, &cli.Command{
			Name:         sub.Name,
			Usage:        sub.Usage,
			ArgsUsage:    sub.ArgsUsage,
			Description:  sub.Description,
			Flags:        flags(own, environment),
			OnUsageError: onUsageError,
			Before: func(c *cli.Context) error {
				if err := inherit(c); err != nil {
					return err
				}
				return setUp(c, env, argv)
			},
			Action: action(env, sub.ArgsUsage, sub.Action),
		})
	}
	return app
}

func onUsageError(_ *cli.Context, err error, _ bool) error { return usageError{err} }

// action refuses arguments where none are taken.
func action(env *Env, argsUsage string, run Action) cli.ActionFunc {
	return func(c *cli.Context) error {
		if shell := c.String("completion"); shell != "" {
			return writeCompletion(env.Stdout, c.App, shell)
		}
		if argsUsage == "" && c.Args().Present() {
			return UsageErrorf("argument %q: %s takes none", c.Args().First(), c.Command.HelpName)
		}
		return run(c.Context, env, c)
	}
}

// inherit gives a subcommand the flags that stand before its name. The cli
// package would hide them behind the subcommand's own defaults.
func inherit(c *cli.Context) error {
	parent := c.Lineage()[1]
	for _, name := range parent.LocalFlagNames() {
		if given(parent.Args().Tail(), name) {
			continue
		}
		known := func(f cli.Flag) bool { return slices.Contains(f.Names(), name) }
		if !slices.ContainsFunc(c.Command.Flags, known) {
			if os.Getenv(envVar(name)) != "" {
				continue // the environment is for all commands
			}
			return UsageErrorf("flag --%s: command %s does not take it", name, c.Command.Name)
		}
		if err := c.Set(name, fmt.Sprint(parent.Value(name))); err != nil {
			return UsageErrorf("flag --%s: %w", name, err)
		}
	}
	return nil
}

// given reports whether the arguments of a subcommand set the flag.
func given(args []string, name string) bool {
	return slices.ContainsFunc(args, func(arg string) bool {
		flag, _, _ := strings.Cut(arg, "=")
		return flag == "-"+name || flag == "--"+name
	})
}
