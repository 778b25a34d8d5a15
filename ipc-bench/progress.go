package main

import (
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// progress shows on a terminal which row is being measured. The zero value shows
// nothing.
type progress struct {
	container *mpb.Progress
	bar       *mpb.Bar
	row       chan string // of one text, the newest
	begun     bool        // the first row has
}

// newProgress returns one for so many rows, which shows nothing if stderr is no
// terminal. It is drawn rarely, as that takes a processor away.
func newProgress(stderr *os.File, rows int) *progress {
	if !isatty.IsTerminal(stderr.Fd()) {
		return &progress{}
	}
	container := mpb.New(mpb.WithOutput(stderr), mpb.WithWidth(60), mpb.WithRefreshRate(500*time.Millisecond))
	row, text := make(chan string, 1), ""
	current := decor.Any(func(decor.Statistics) string {
		select {
		case text = <-row:
		default:
		}
		return " " + text
	})
	bar := container.AddBar(int64(rows),
		mpb.PrependDecorators(decor.CountersNoUnit("%d / %d")), mpb.AppendDecorators(current), mpb.BarRemoveOnComplete())
	return &progress{container: container, bar: bar, row: row}
}

// next says that a row begins, and so that the one before has ended.
func (p *progress) next(row string) {
	if p.bar == nil {
		return
	}
	if p.begun {
		p.bar.Increment()
	}
	p.begun = true
	select {
	case <-p.row: // nobody has looked at it
	default:
	}
	p.row <- row
}

// end takes it off the terminal. A second one does nothing.
func (p *progress) end() {
	if p.bar != nil {
		p.bar.Abort(true)
		p.container.Wait()
	}
}
