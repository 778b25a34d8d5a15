package main

import (
	"cmp"
	"fmt"
	"image/color"
	"io"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

const (
	plotWidth     = 12 * vg.Inch
	plotHeight    = 5.5 * vg.Inch
	captionHeight = 0.4 * vg.Inch
	plotDPI       = 120 // of a PNG
)

// plotAs returns what draws the result in the format of a file's extension, .svg
// or .png.
func plotAs(ext string) func(result, io.Writer) error {
	return func(r result, w io.Writer) error {
		var canvas interface {
			vg.CanvasSizer
			io.WriterTo
		}
		if ext == ".svg" {
			canvas = vgsvg.New(plotWidth, plotHeight)
		} else {
			canvas = vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(plotWidth, plotHeight), vgimg.UseDPI(plotDPI), vgimg.UseBackgroundColor(color.White))}
		}
		if err := r.draw(draw.New(canvas)); err != nil {
			return err
		}
		_, err := canvas.WriteTo(w)
		return err
	}
}

// draw draws both plots side by side, and below them where it was measured.
func (r result) draw(c draw.Canvas) error {
	f, err := newFrame(c)
	if err != nil {
		return err
	}
	r.drawLatency(f.crop(0, 0.5, captionHeight))
	r.drawThroughput(f.crop(0.5, 1, captionHeight))
	caption := fmt.Sprintf("%s, %d CPUs, %s, %s; %s", r.machine.CPU, r.machine.CPUs, r.machine.Kernel, r.machine.Go, r.cpus.why)
	if w := r.disturbance.warning(); w != "" {
		caption += "; " + w
	}
	f.text(caption, vg.Point{X: 0.1 * vg.Inch, Y: captionHeight / 2}, smallText, color.Black, draw.XLeft, draw.YCenter)
	return nil
}

// drawLatency draws a bar for each mechanism, of round trips of the smallest
// message, from the median, which is the dot, to the 99th percentile.
func (r result) drawLatency(f frame) {
	var bars []row
	for _, row := range r.rows {
		switch {
		case row.skipped != "" || len(bars) > 0 && row.size > bars[0].size:
			continue
		case len(bars) > 0 && row.size < bars[0].size:
			bars = nil
		}
		bars = append(bars, row)
	}
	if len(bars) == 0 {
		return
	}
	f.title(fmt.Sprintf("Round trip of %s: median and 99th percentile", sizeText(bars[0].size)))
	ends := func(row row) (p50, p99 float64) {
		h := row.trips.histogram
		return float64(h.ValueAtQuantile(50)), float64(h.ValueAtQuantile(99))
	}
	low, high := math.Inf(1), math.Inf(-1)
	for _, row := range bars {
		p50, p99 := ends(row)
		low, high = min(low, p50), max(high, p99)
	}
	x := f.xAxis(wholeDecades(low, high))
	x.grid(decadeTicks(x, timeLabel))
	for i, row := range bars {
		p50, p99 := ends(row)
		look := lookOf(row.mechanism)
		at := f.top() - (f.top()-f.bottom())*vg.Length(float64(i)+0.6)/vg.Length(len(bars))
		f.canvas.StrokeLine2(draw.LineStyle{Color: faint(look.colour), Width: vg.Points(9)}, x.at(p50), at, x.at(p99), at)
		f.canvas.DrawGlyph(draw.GlyphStyle{Color: look.colour, Radius: vg.Points(5), Shape: draw.CircleGlyph{}}, vg.Point{X: x.at(p50), Y: at})
		f.text(timeText(p50), vg.Point{X: x.at(p50), Y: at + vg.Points(6)}, smallText, color.Black, draw.XCenter, draw.YBottom)
		f.text(row.mechanism, vg.Point{X: f.left() - vg.Points(8), Y: at}, bigText, color.Black, draw.XRight, draw.YCenter)
	}
}

type point struct{ size, rate float64 }

// drawThroughput draws a line for each mechanism over the size of the messages.
func (r result) drawThroughput(f frame) {
	lines := map[string][]point{}
	var order []string
	low, high := point{math.Inf(1), math.Inf(1)}, point{}
	for _, row := range r.rows {
		if row.skipped != "" {
			continue
		}
		p := point{float64(row.size), row.flow.perSecond * float64(row.size)}
		if lines[row.mechanism] == nil {
			order = append(order, row.mechanism)
		}
		lines[row.mechanism] = append(lines[row.mechanism], p)
		low = point{min(low.size, p.size), min(low.rate, p.rate)}
		high = point{max(high.size, p.size), max(high.rate, p.rate)}
	}
	if len(order) == 0 {
		return
	}
	f.title("One way: bytes per second by size of message")
	y := f.yAxis(wholeDecades(low.rate, high.rate))
	y.grid(decadeTicks(y, rateLabel))
	// Wider than the sizes, so that the lines' names fit at their ends.
	const room = 0.25
	x := f.xAxis(low.size, high.size*math.Pow(max(2, high.size/low.size), room))
	x.line(sizeTicks(low.size, high.size))

	var names []label
	for _, mechanism := range order {
		points, look := lines[mechanism], lookOf(mechanism)
		slices.SortFunc(points, func(a, b point) int { return cmp.Compare(a.size, b.size) })
		var path []vg.Point
		for _, p := range points {
			path = append(path, vg.Point{X: x.at(p.size), Y: y.at(p.rate)})
		}
		f.canvas.StrokeLines(draw.LineStyle{Color: look.colour, Width: vg.Points(1.8), Dashes: look.dashes}, path)
		for _, at := range path {
			f.canvas.DrawGlyph(draw.GlyphStyle{Color: look.colour, Radius: vg.Points(3), Shape: look.shape}, at)
		}
		end := path[len(path)-1]
		names = append(names, label{mechanism, vg.Point{X: end.X + vg.Points(6), Y: end.Y}, look.colour})
	}
	f.labels(names)
}

// sizeTicks are at powers of two, so far apart that their labels do not touch.
func sizeTicks(low, high float64) []tick {
	from, to := int(math.Ceil(math.Log2(low))), int(math.Floor(math.Log2(high)))
	const most = 6
	step := 1
	for (to-from)/step > most {
		step *= 2
	}
	var ticks []tick
	for e := from; e <= to; e += step {
		ticks = append(ticks, tick{math.Exp2(float64(e)), sizeText(1 << e)})
	}
	return ticks
}

func timeLabel(ns float64) string { return unitLabel(ns, "ns", "µs", "ms", "s") }

func rateLabel(bytes float64) string { return unitLabel(bytes, "B/s", "kB/s", "MB/s", "GB/s", "TB/s") }

// unitLabel is for powers of ten; each unit is a thousand of the one before.
func unitLabel(x float64, units ...string) string {
	i := min(max(0, int(math.Round(math.Log10(x)))/3), len(units)-1)
	return fmt.Sprintf("%.3g %s", x/math.Pow(1000, float64(i)), units[i])
}

// look is how a mechanism is drawn: colours that people tell apart who see few
// (Okabe and Ito's), and a shape besides.
type look struct {
	colour color.RGBA
	shape  draw.GlyphDrawer
	dashes []vg.Length
}

func lookOf(mechanism string) look {
	rgb := func(c uint32) color.RGBA {
		return color.RGBA{R: uint8(c >> 16), G: uint8(c >> 8), B: uint8(c), A: 255}
	}
	switch mechanism {
	case "pipe-poller":
		return look{colour: rgb(0x808080), shape: draw.RingGlyph{}}
	case "pipe":
		return look{colour: rgb(0x0072B2), shape: draw.CircleGlyph{}}
	case "packet":
		return look{colour: rgb(0x56B4E9), shape: draw.SquareGlyph{}}
	case "socket":
		return look{colour: rgb(0xE69F00), shape: draw.TriangleGlyph{}}
	case "fifo":
		return look{colour: rgb(0x009E73), shape: draw.BoxGlyph{}}
	case "mailbox":
		return look{colour: rgb(0xCC79A7), shape: draw.PyramidGlyph{}}
	case "ring":
		return look{colour: rgb(0xD55E00), shape: draw.CrossGlyph{}}
	case "ring-spin":
		return look{colour: rgb(0x8C3B00), shape: draw.PlusGlyph{}}
	default: // the limit
		return look{colour: rgb(0x000000), shape: draw.CircleGlyph{}, dashes: []vg.Length{vg.Points(5), vg.Points(3)}}
	}
}

func faint(c color.RGBA) color.RGBA {
	mix := func(v uint8) uint8 { return uint8((int(v) + 2*255) / 3) }
	return color.RGBA{R: mix(c.R), G: mix(c.G), B: mix(c.B), A: 255}
}
