package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// result is a whole run.
type result struct {
	machine     machine
	cpus        pinning
	clock       time.Duration // that a look at it takes
	rows        []row
	disturbance disturbance
}

// warnings say what makes the result less than fit to be quoted.
func (r result) warnings() []string {
	var all []string
	if w := r.disturbance.warning(); w != "" {
		all = append(all, w+" while this was measured: the figures are too high, do not compare them with those of another run")
	}
	var noisy []string
	for _, row := range r.rows {
		if row.noisy() {
			noisy = append(noisy, fmt.Sprintf("%s %s", row.mechanism, sizeText(row.size)))
		}
	}
	if len(noisy) > 0 {
		all = append(all, fmt.Sprintf("not fit to be quoted, as their rounds are more than %.0f %% apart: %s: try a longer --duration, or a quieter machine",
			100*noisyAbove, strings.Join(noisy, ", ")))
	}
	return all
}

// writeHeader says what was measured where.
func (r result) writeHeader(w io.Writer) {
	fmt.Fprintf(w, "machine   %s, %d CPUs, %s, %s, ipc-bench %s\n", r.machine.CPU, r.machine.CPUs, r.machine.Kernel, r.machine.Go, r.machine.Revision)
	fmt.Fprintf(w, "pinned    %s\n", r.cpus.why)
	fmt.Fprintf(w, "included  in every row alike: all bytes of each message are checked where it arrives;\n          in a round trip, %v for a look at the clock\n", r.clock)
}

// writeTables prints the two tables for people.
func (r result) writeTables(w io.Writer) error {
	trips := table{{"round trip", "p50", "p90", "p99", "p99.9", "max", "spread", "CPU near", "far", "switches", "far"}}
	flows := table{{"one way", "messages/s", "bytes/s", "spread", "CPU near", "far", "switches", "far"}}
	size := 0
	for _, row := range r.rows {
		if row.size != size {
			size = row.size
			trips, flows = append(trips, []string{sizeText(size)}), append(flows, []string{sizeText(size)})
		}
		name := "  " + row.mechanism
		if row.skipped != "" {
			trips, flows = append(trips, []string{name, "–"}), append(flows, []string{name, "–"})
			continue
		}
		t, cells := row.trips, []string{name}
		for _, q := range []float64{50, 90, 99, 99.9, 100} {
			cells = append(cells, timeCell(float64(t.histogram.ValueAtQuantile(q))))
		}
		cells = append(cells, spreadText(t.spread))
		trips = append(trips, append(cells, usageCells(t.messages, t.near, t.far)...))

		f := row.flow
		cells = []string{name, countText(f.perSecond), countText(f.perSecond * float64(row.size)), spreadText(f.spread)}
		flows = append(flows, append(cells, usageCells(f.messages, f.near, f.far)...))
	}
	fmt.Fprintln(w)
	trips.write(w)
	fmt.Fprintln(w)
	flows.write(w)
	fmt.Fprintln(w)
	for _, reason := range r.reasons() {
		fmt.Fprintln(w, reason)
	}
	_, err := fmt.Fprint(w, `spread    how far the rounds are apart: (third quartile - first) / median; ! above 15 %
CPU       user and system time of the near end and of the far end, per message
switches  how often per message an end gave up its processor to wait, + had to give it up
`)
	return err
}

// reasons say for each "–" why it is there.
func (r result) reasons() []string {
	var reasons []string
	what := map[string][]string{}
	for _, row := range r.rows {
		if row.skipped == "" {
			continue
		}
		if what[row.skipped] == nil {
			reasons = append(reasons, row.skipped)
		}
		what[row.skipped] = append(what[row.skipped], fmt.Sprintf("%s %s", row.mechanism, sizeText(row.size)))
	}
	for i, reason := range reasons {
		reasons[i] = fmt.Sprintf("–         %s: %s", strings.Join(what[reason], ", "), reason)
	}
	return reasons
}

// table has a header, and lines that may have fewer columns.
type table [][]string

// write aligns the first column to the left and the others to the right.
func (t table) write(w io.Writer) {
	widths := make([]int, len(t[0]))
	for _, line := range t {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range t {
		text := fmt.Sprintf("%-*s", widths[0], line[0])
		for i, cell := range line[1:] {
			text += fmt.Sprintf("  %*s", widths[i+1], cell)
		}
		fmt.Fprintln(w, strings.TrimRight(text, " "))
	}
}

// usageCells is what both ends used per message.
func usageCells(messages int, near, far usage) []string {
	n := float64(messages)
	cpu := func(u usage) string { return timeCell(float64(u.User+u.Sys) / n) }
	count := func(switches int64) string {
		if x := float64(switches) / n; x < 9.95 {
			return fmt.Sprintf("%.1f", x)
		}
		return fmt.Sprintf("%.0f", float64(switches)/n)
	}
	switches := func(u usage) string { return count(u.Voluntary) + "+" + count(u.Involuntary) }
	return []string{cpu(near), cpu(far), switches(near), switches(far)}
}

func spreadText(spread float64) string {
	mark := ""
	if spread > noisyAbove {
		mark = "!"
	}
	return fmt.Sprintf("%s%.0f%%", mark, 100*spread)
}

// timeCell is timeText without the blank, so that a line of the table fits 100 columns.
func timeCell(ns float64) string { return strings.ReplaceAll(timeText(ns), " ", "") }

// timeText is a time in ns, with three digits.
func timeText(ns float64) string {
	if ns < 1e3 {
		return fmt.Sprintf("%.0f ns", ns)
	}
	return inUnits(ns/1e3, " µs", " ms", " s")
}

// countText is a number per second, with three digits.
func countText(n float64) string { return inUnits(n, "", " k", " M", " G") }

// inUnits puts x, with three digits, into the unit that fits, of which each is a
// thousand of the one before.
func inUnits(x float64, units ...string) string {
	for x >= 1e3 && len(units) > 1 {
		x, units = x/1e3, units[1:]
	}
	return threeDigits(x) + units[0]
}

func threeDigits(x float64) string {
	switch {
	case x < 9.995:
		return fmt.Sprintf("%.2f", x)
	case x < 99.95:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}

func sizeText(bytes int) string {
	switch {
	case bytes%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", bytes>>20)
	case bytes%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
	return fmt.Sprintf("%d B", bytes)
}
