package main

import (
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"

	"example.com/ipcsuite/internal/command"
)

// progress shows on a terminal how much of stdin has been read, and how fast.
// The zero value shows nothing.
type progress struct{ bar *progressbar.ProgressBar }

// newProgress returns one that shows nothing if stderr is no terminal, or if
// stdin is one, where it would come between what is typed.
func newProgress(env *command.Env, quiet bool) *progress {
	if quiet || !isatty.IsTerminal(env.Stderr.Fd()) || isatty.IsTerminal(env.Stdin.Fd()) {
		return &progress{}
	}
	return &progress{progressbar.NewOptions64(length(env.Stdin),
		progressbar.OptionSetWriter(env.Stderr),
		progressbar.OptionShowBytes(true),
		progressbar.OptionShowCount(),
		progressbar.OptionUseIECUnits(true),
		progressbar.OptionSetWidth(20),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)}
}

// length is how much there is to read, or -1 if that is not known: the length of
// a file of procfs is 0, whatever is in it.
func length(stdin *os.File) int64 {
	info, err := stdin.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return -1
	}
	read, err := stdin.Seek(0, io.SeekCurrent)
	if err != nil || read >= info.Size() {
		return -1
	}
	return info.Size() - read
}

func (p *progress) passed(bytes int) {
	if p.bar != nil {
		_ = p.bar.Add(bytes) // more than the size is an error to it, and none here
	}
}

// end takes it off the terminal.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Clear() // what it fails with, a later write to stderr does too
	}
}
