package main

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"time"
)

// The records are what --json and --csv write. Their names are stable, and tell
// the unit.

type resultRecord struct {
	Machine machine `json:"machine"`
	Pinning struct {
		Near []int  `json:"near_cpus"`
		Far  []int  `json:"far_cpus"`
		Text string `json:"text"`
	} `json:"pinning"`
	ClockNS     int64       `json:"clock_ns"`
	Disturbance disturbance `json:"disturbance"`
	Warnings    []string    `json:"warnings"`
	Rows        []rowRecord `json:"rows"`
}

type rowRecord struct {
	Mechanism string `json:"mechanism"`
	SizeBytes int    `json:"size_bytes"`
	Skipped   string `json:"skipped,omitempty"` // why nothing of what follows is there
	Noisy     bool   `json:"noisy"`
	NearCPUs  []int  `json:"near_cpus,omitempty"` // those obtained
	FarCPUs   []int  `json:"far_cpus,omitempty"`

	RoundTrips      int        `json:"round_trips,omitempty"`
	RoundTripNS     *quantiles `json:"round_trip_ns,omitempty"`
	RoundTripSpread float64    `json:"round_trip_spread"`
	RoundTripNear   *endRecord `json:"round_trip_near,omitempty"`
	RoundTripFar    *endRecord `json:"round_trip_far,omitempty"`

	OneWayMessages  int        `json:"one_way_messages,omitempty"`
	OneWayPerSecond float64    `json:"one_way_messages_per_s,omitempty"`
	OneWayBytes     float64    `json:"one_way_bytes_per_s,omitempty"`
	OneWaySpread    float64    `json:"one_way_spread"`
	OneWayNear      *endRecord `json:"one_way_near,omitempty"`
	OneWayFar       *endRecord `json:"one_way_far,omitempty"`
}

type quantiles struct {
	Min  int64   `json:"min"`
	P50  int64   `json:"p50"`
	P90  int64   `json:"p90"`
	P99  int64   `json:"p99"`
	P999 int64   `json:"p999"`
	Max  int64   `json:"max"`
	Mean float64 `json:"mean"`
}

// endRecord is what an end used per message.
type endRecord struct {
	UserNS      float64 `json:"user_ns_per_message"`
	SysNS       float64 `json:"sys_ns_per_message"`
	Voluntary   float64 `json:"voluntary_switches_per_message"`
	Involuntary float64 `json:"involuntary_switches_per_message"`
	Allocations float64 `json:"allocations_per_message"`
}

func (r result) record() resultRecord {
	rec := resultRecord{Machine: r.machine, ClockNS: int64(r.clock), Disturbance: r.disturbance, Warnings: r.warnings()}
	rec.Pinning.Near, rec.Pinning.Far, rec.Pinning.Text = r.cpus.near, r.cpus.far, r.cpus.why
	for _, row := range r.rows {
		rec.Rows = append(rec.Rows, row.record())
	}
	return rec
}

func (r row) record() rowRecord {
	rec := rowRecord{Mechanism: r.mechanism, SizeBytes: r.size, Skipped: r.skipped}
	if r.skipped != "" {
		return rec
	}
	t, f := r.trips, r.flow
	rec.Noisy, rec.NearCPUs, rec.FarCPUs = r.noisy(), r.nearCPUs, r.farCPUs
	rec.RoundTrips, rec.RoundTripSpread = t.messages, t.spread
	rec.RoundTripNS = &quantiles{
		Min: t.histogram.Min(), P50: t.histogram.ValueAtQuantile(50), P90: t.histogram.ValueAtQuantile(90),
		P99: t.histogram.ValueAtQuantile(99), P999: t.histogram.ValueAtQuantile(99.9), Max: t.histogram.Max(),
		Mean: t.histogram.Mean(),
	}
	rec.RoundTripNear, rec.RoundTripFar = t.near.record(t.messages), t.far.record(t.messages)
	rec.OneWayMessages, rec.OneWaySpread = f.messages, f.spread
	rec.OneWayPerSecond, rec.OneWayBytes = f.perSecond, f.perSecond*float64(r.size)
	rec.OneWayNear, rec.OneWayFar = f.near.record(f.messages), f.far.record(f.messages)
	return rec
}

func (u usage) record(messages int) *endRecord {
	n := float64(messages)
	ns := func(d time.Duration) float64 { return float64(d) / n }
	return &endRecord{
		UserNS: ns(u.User), SysNS: ns(u.Sys),
		Voluntary: float64(u.Voluntary) / n, Involuntary: float64(u.Involuntary) / n,
		Allocations: float64(u.Allocations) / n,
	}
}

func (r result) writeJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r.record())
}

// writeCSV writes a line for each row, with the names of --json, and empty fields
// where a row was not measured.
func (r result) writeCSV(w io.Writer) error {
	header := []string{
		"mechanism", "size_bytes", "skipped", "noisy",
		"round_trips", "round_trip_min_ns", "round_trip_p50_ns", "round_trip_p90_ns", "round_trip_p99_ns",
		"round_trip_p999_ns", "round_trip_max_ns", "round_trip_mean_ns", "round_trip_spread",
	}
	ends := []string{"user_ns_per_message", "sys_ns_per_message", "voluntary_switches_per_message", "involuntary_switches_per_message", "allocations_per_message"}
	for _, end := range []string{"round_trip_near_", "round_trip_far_"} {
		for _, name := range ends {
			header = append(header, end+name)
		}
	}
	header = append(header, "one_way_messages", "one_way_messages_per_s", "one_way_bytes_per_s", "one_way_spread")
	for _, end := range []string{"one_way_near_", "one_way_far_"} {
		for _, name := range ends {
			header = append(header, end+name)
		}
	}
	out := csv.NewWriter(w)
	_ = out.Write(header) // Error tells
	for _, row := range r.rows {
		fields := row.record().fields()
		_ = out.Write(append(fields, make([]string, len(header)-len(fields))...))
	}
	out.Flush()
	return out.Error()
}

func (r rowRecord) fields() []string {
	float := func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
	whole := func(n int64) string { return strconv.FormatInt(n, 10) }
	end := func(e *endRecord) []string {
		return []string{float(e.UserNS), float(e.SysNS), float(e.Voluntary), float(e.Involuntary), float(e.Allocations)}
	}
	fields := []string{r.Mechanism, strconv.Itoa(r.SizeBytes), r.Skipped}
	if r.Skipped != "" {
		return fields
	}
	q := r.RoundTripNS
	fields = append(fields, strconv.FormatBool(r.Noisy), strconv.Itoa(r.RoundTrips),
		whole(q.Min), whole(q.P50), whole(q.P90), whole(q.P99), whole(q.P999), whole(q.Max), float(q.Mean), float(r.RoundTripSpread))
	fields = append(fields, end(r.RoundTripNear)...)
	fields = append(fields, end(r.RoundTripFar)...)
	fields = append(fields, strconv.Itoa(r.OneWayMessages), float(r.OneWayPerSecond), float(r.OneWayBytes), float(r.OneWaySpread))
	fields = append(fields, end(r.OneWayNear)...)
	return append(fields, end(r.OneWayFar)...)
}
