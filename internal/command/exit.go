package command

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// SignalError is the cause of a context that a signal ended.
type SignalError struct{ Signal syscall.Signal }

func (e SignalError) Error() string { return "ended by signal " + unix.SignalName(e.Signal) }

// usageError is a mistake on the command line: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// UsageErrorf returns an error that ends the process with exit code 2.
func UsageErrorf(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// report says on stderr why the command failed, in one line, and returns the
// exit code.
func report(log *Log, name string, err error) int {
	var (
		sig   SignalError
		usage usageError
	)
	switch {
	case err == nil:
		return 0
	case errors.As(err, &sig):
		log.Notice().Msg(err.Error())
		return 128 + int(sig.Signal)
	case errors.As(err, &usage):
		log.Error().Msgf("%v: see %s --help", err, name)
		return 2
	default:
		log.Error().Msg(err.Error() + whatToDo(err))
		return 1
	}
}
