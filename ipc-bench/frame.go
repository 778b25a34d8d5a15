package main

import (
	"cmp"
	"fmt"
	"image/color"
	"math"
	"slices"

	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"golang.org/x/image/font/opentype"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// frame is a canvas with logarithmic axes, in one font. (Package plot would draw
// axes as well, but brings twelve fonts and three file formats more, a third of
// the binary.)
type frame struct {
	canvas draw.Canvas
	fonts  text.Handler
}

const (
	smallText = 8 // points
	bigText   = 10
	titleText = 12
)

func newFrame(c draw.Canvas) (frame, error) {
	face, err := opentype.Parse(liberationsansregular.TTF)
	if err != nil {
		return frame{}, fmt.Errorf("font: %w", err)
	}
	fonts := font.NewCache(font.Collection{{Font: sans, Face: face}})
	return frame{c, text.Plain{Fonts: fonts}}, nil
}

var sans = font.Font{Typeface: "Liberation", Variant: "Sans"}

// crop returns a part of the frame, between two parts of its width, above bottom.
func (f frame) crop(left, right float64, bottom vg.Length) frame {
	width := f.canvas.Max.X - f.canvas.Min.X
	f.canvas = draw.Crop(f.canvas, width*vg.Length(left), width*vg.Length(right-1), bottom, 0)
	return f
}

// The sides of the area within the axes.
func (f frame) left() vg.Length   { return f.canvas.Min.X + 1.0*vg.Inch }
func (f frame) right() vg.Length  { return f.canvas.Max.X - 0.3*vg.Inch }
func (f frame) bottom() vg.Length { return f.canvas.Min.Y + 0.3*vg.Inch }
func (f frame) top() vg.Length    { return f.canvas.Max.Y - 0.5*vg.Inch }

func (f frame) text(words string, at vg.Point, size vg.Length, c color.Color, x text.XAlignment, y text.YAlignment) {
	style := text.Style{Color: c, Font: font.From(sans, size), XAlign: x, YAlign: y, Handler: f.fonts}
	f.canvas.FillText(style, at, words)
}

func (f frame) title(words string) {
	at := vg.Point{X: (f.left() + f.right()) / 2, Y: f.canvas.Max.Y - 0.15*vg.Inch}
	f.text(words, at, titleText, color.Black, draw.XCenter, draw.YTop)
}

// axis maps numbers to places, by their logarithms.
type axis struct {
	frame     frame
	low, high float64
	from, to  vg.Length
	vertical  bool
}

func (f frame) xAxis(low, high float64) axis {
	return axis{f, low, high, f.left(), f.right(), false}
}

func (f frame) yAxis(low, high float64) axis {
	return axis{f, low, high, f.bottom(), f.top(), true}
}

func (a axis) at(x float64) vg.Length {
	return a.from + (a.to-a.from)*vg.Length(math.Log(x/a.low)/math.Log(a.high/a.low))
}

// tick is a place on an axis that is named.
type tick struct {
	value float64
	name  string
}

// grid names the ticks, and draws a faint line through each.
func (a axis) grid(ticks []tick) {
	f, style := a.frame, draw.LineStyle{Color: color.Gray{Y: 215}, Width: vg.Points(0.6)}
	for _, t := range ticks {
		if a.vertical {
			f.canvas.StrokeLine2(style, f.left(), a.at(t.value), f.right(), a.at(t.value))
		} else {
			f.canvas.StrokeLine2(style, a.at(t.value), f.bottom(), a.at(t.value), f.top())
		}
		a.name(t)
	}
}

// line draws the axis, and names the ticks.
func (a axis) line(ticks []tick) {
	f, style := a.frame, draw.LineStyle{Color: color.Gray{Y: 100}, Width: vg.Points(0.8)}
	f.canvas.StrokeLine2(style, f.left(), f.bottom(), f.right(), f.bottom())
	for _, t := range ticks {
		f.canvas.StrokeLine2(style, a.at(t.value), f.bottom(), a.at(t.value), f.bottom()-vg.Points(4))
		a.name(t)
	}
}

func (a axis) name(t tick) {
	f := a.frame
	if a.vertical {
		f.text(t.name, vg.Point{X: f.left() - vg.Points(8), Y: a.at(t.value)}, bigText, color.Black, draw.XRight, draw.YCenter)
		return
	}
	f.text(t.name, vg.Point{X: a.at(t.value), Y: f.bottom() - vg.Points(6)}, bigText, color.Black, draw.XCenter, draw.YTop)
}

// decadeTicks are at powers of ten.
func decadeTicks(a axis, name func(float64) string) []tick {
	var ticks []tick
	for e := math.Round(math.Log10(a.low)); e <= math.Round(math.Log10(a.high)); e++ {
		x := math.Pow(10, e)
		ticks = append(ticks, tick{x, name(x)})
	}
	return ticks
}

func wholeDecades(low, high float64) (float64, float64) {
	low, high = math.Pow(10, math.Floor(math.Log10(low))), math.Pow(10, math.Ceil(math.Log10(high)))
	if low == high {
		high *= 10
	}
	return low, high
}

// label is a name beside the end of a line.
type label struct {
	name   string
	at     vg.Point
	colour color.RGBA
}

// labels writes them: each right of its line's end, or above the one that has that
// place; where a line ends earlier than others, which then pass it, below its end.
func (f frame) labels(all []label) {
	last := vg.Length(0)
	for _, l := range all {
		last = max(last, l.at.X)
	}
	slices.SortFunc(all, func(a, b label) int { return cmp.Compare(a.at.Y, b.at.Y) })
	height := vg.Points(bigText + 1)
	for i, l := range all {
		early := 0 // how many of those that end early there are from here on
		for _, other := range all[i:] {
			if l.at.X == other.at.X && l.at.X < last {
				early++
			}
		}
		l.at.Y -= vg.Length(early) * height
		for _, other := range all[:i] {
			if l.at.X == other.at.X {
				l.at.Y = max(l.at.Y, other.at.Y+height)
			}
		}
		all[i] = l
		f.text(l.name, l.at, bigText, l.colour, draw.XLeft, draw.YCenter)
	}
}
