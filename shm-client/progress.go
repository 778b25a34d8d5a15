package main

import (
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"example.com/ipcsuite/internal/command"
)

// progress shows on a terminal how much of stdin has been read, and how fast.
// The zero value shows nothing.
type progress struct {
	container *mpb.Progress
	bar       *mpb.Bar
}

// newProgress returns one that shows nothing if stderr is no terminal, or if
// stdin is one, where it would come between what is typed.
func newProgress(env *command.Env, quiet bool) *progress {
	if quiet || !isatty.IsTerminal(env.Stderr.Fd()) || isatty.IsTerminal(env.Stdin.Fd()) {
		return &progress{}
	}
	container := mpb.New(mpb.WithOutput(env.Stderr), mpb.WithWidth(60), mpb.WithRefreshRate(100*time.Millisecond))
	size := length(env.Stdin)
	amount, style := decor.CountersKibiByte("% .1f / % .1f"), mpb.BarFillerBuilder(mpb.BarStyle())
	if size < 0 {
		amount, style = decor.CurrentKibiByte("% .1f"), mpb.NopStyle()
	}
	return &progress{container, container.New(max(size, 0), style,
		mpb.PrependDecorators(amount),
		mpb.AppendDecorators(decor.AverageSpeed(decor.SizeB1024(0), "% .1f")),
		mpb.BarRemoveOnComplete())}
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

// Write says that these bytes have been read. It never fails.
func (p *progress) Write(b []byte) (int, error) {
	if p.bar != nil {
		p.bar.IncrBy(len(b))
	}
	return len(b), nil
}

// end takes it off the terminal.
func (p *progress) end() {
	if p.bar != nil {
		p.bar.Abort(true)
		p.container.Wait()
	}
}
