package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// measured is a small result with a row of each kind.
func measured() result {
	r := result{machine: thisMachine("test"), cpus: pinning{[]int{0}, []int{1}, "somewhere"}, disturbance: disturbance{Others: 0.5}}
	for _, size := range []int{8192, 64} {
		for i, m := range mechanisms() {
			row := row{mechanism: m.name, size: size, nearCPUs: []int{0}, farCPUs: []int{1}}
			if m.unfit != nil {
				row.skipped = m.unfit(plan{size: size})
			}
			if row.skipped == "" {
				row.trips = trips{messages: 100, histogram: newHistogram()}
				for n := range int64(100) {
					_ = row.trips.histogram.RecordValue(int64(i+1) * int64(size) * (n + 1)) // all within its range
				}
				row.flow = flow{messages: 100, perSecond: 1e9 / float64(size*(i+1))}
			}
			r.rows = append(r.rows, row)
		}
	}
	r.rows[0].trips.spread = 0.5
	return r
}

func TestResultInAllForms(t *testing.T) {
	t.Parallel()
	r := measured()
	n := len(mechanisms())

	t.Run("svg", func(t *testing.T) {
		var out bytes.Buffer
		if err := plotAs(".svg")(r, &out); err != nil {
			t.Fatal(err)
		}
		var words []string
		for decoder := xml.NewDecoder(bytes.NewReader(out.Bytes())); ; {
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if text, ok := token.(xml.CharData); ok {
				words = append(words, string(text))
			}
		}
		all := strings.Join(words, " ")
		for _, m := range mechanisms() { // a bar, and the end of a line
			if n := slices.Index(words, m.name); n < 0 || !slices.Contains(words[n+1:], m.name) {
				t.Errorf("%s is not named twice in %q", m.name, words)
			}
		}
		if !strings.Contains(all, "Round trip of 64 B") {
			t.Errorf("no title in %q", all)
		}
	})
	t.Run("png", func(t *testing.T) {
		var out bytes.Buffer
		if err := plotAs(".png")(r, &out); err != nil {
			t.Fatal(err)
		}
		picture, err := png.Decode(&out)
		if err != nil {
			t.Fatal(err)
		}
		if size := picture.Bounds().Size(); size.X != 12*plotDPI {
			t.Errorf("size %v", size)
		}
	})
	t.Run("nothing to draw", func(t *testing.T) {
		if err := plotAs(".svg")(result{rows: []row{{mechanism: "packet", size: 5000, skipped: "too long"}}}, io.Discard); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("table", func(t *testing.T) {
		wide := r
		wide.rows = []row{r.rows[0]}
		// The widest that a round trip of 1 MiB gives.
		w := &wide.rows[0]
		w.mechanism, w.trips.spread = "pipe-poller", 1.13
		w.trips.histogram = newHistogram()
		_ = w.trips.histogram.RecordValue(21_500_000) // within its range
		w.trips.near = usage{User: 43_100_000, Voluntary: 4990, Involuntary: 2260}
		w.trips.far = w.trips.near
		var out bytes.Buffer
		if err := wide.writeTables(&out); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "  50+23  ") {
			t.Errorf("no switches in %s", &out)
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 100 {
				t.Errorf("%d columns, more than 100: %s", n, line)
			}
		}
	})
	t.Run("csv", func(t *testing.T) {
		var out bytes.Buffer
		if err := r.writeCSV(&out); err != nil {
			t.Fatal(err)
		}
		lines, err := csv.NewReader(&out).ReadAll() // all lines have as many fields
		if err != nil {
			t.Fatal(err)
		}
		if len(lines) != 1+2*n {
			t.Errorf("%d lines, want %d", len(lines), 1+2*n)
		}
	})
	t.Run("json", func(t *testing.T) {
		var out bytes.Buffer
		if err := r.writeJSON(&out); err != nil {
			t.Fatal(err)
		}
		// By the names that programs use.
		var got struct {
			Machine struct{ Kernel string }
			Rows    []struct {
				Mechanism   string
				SizeBytes   int `json:"size_bytes"`
				Skipped     string
				RoundTripNS struct{ P50, P90, P99, P999, Max int64 } `json:"round_trip_ns"`
				PerSecond   float64                                  `json:"one_way_messages_per_s"`
				Bytes       float64                                  `json:"one_way_bytes_per_s"`
				Near        map[string]float64                       `json:"round_trip_near"`
				Noisy       bool
			}
		}
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got.Machine.Kernel == "" || len(got.Rows) != 2*n {
			t.Fatalf("kernel %q, %d rows", got.Machine.Kernel, len(got.Rows))
		}
		for _, row := range got.Rows {
			q := row.RoundTripNS
			if row.Skipped != "" {
				if q.Max != 0 || row.PerSecond != 0 {
					t.Errorf("skipped, and measured: %+v", row)
				}
				continue
			}
			if q.P50 < 1 || q.P90 < q.P50 || q.P99 < q.P90 || q.P999 < q.P99 || q.Max < q.P999 {
				t.Errorf("%s: quantiles %+v", row.Mechanism, q)
			}
			if row.Bytes != row.PerSecond*float64(row.SizeBytes) || row.PerSecond <= 0 {
				t.Errorf("%s: %v bytes, %v messages a second", row.Mechanism, row.Bytes, row.PerSecond)
			}
			if _, ok := row.Near["voluntary_switches_per_message"]; !ok {
				t.Errorf("%s: no switches in %v", row.Mechanism, row.Near)
			}
		}
		if !got.Rows[0].Noisy {
			t.Error("a row whose rounds differ by half is not marked")
		}
	})
	t.Run("table", func(t *testing.T) {
		var out bytes.Buffer
		r.writeHeader(&out)
		if err := r.writeTables(&out); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"round trip", "one way", "!50%", "packet 8 KiB, fifo 8 KiB: a message is one packet"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in\n%s", want, &out)
			}
		}
		if w := strings.Join(r.warnings(), "\n"); !strings.Contains(w, "50 %") || !strings.Contains(w, "pipe-poller 8 KiB") {
			t.Errorf("warnings: %s", w)
		}
	})
}
