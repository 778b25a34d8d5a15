package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChoiceOfProcessors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		flag      string
		allowed   []int
		near, far []int
		err       string
	}{
		{"auto", []int{900}, []int{900}, []int{900}, ""},
		{"auto", []int{900, 901}, []int{900}, []int{901}, ""},
		{"cross", []int{900, 901}, []int{900}, []int{901}, ""},
		{"cross", []int{900}, nil, nil, "CPU 900 only"},
		{"same", []int{900, 901}, []int{900}, []int{900}, ""},
		{"901,900", []int{900, 901}, []int{901}, []int{900}, ""},
		{"901", []int{900, 901}, []int{901}, []int{901}, ""},
		{"901,901", []int{900, 901}, []int{901}, []int{901}, ""},
		{"900,902", []int{900, 901}, nil, nil, "CPU 902: this process may use CPUs 900,901"},
		{"900-902", []int{900, 901, 902}, nil, nil, "3 processors"},
		{"", []int{900}, nil, nil, "want auto"},
		{"-1", []int{900}, nil, nil, "want auto"},
		{"99999999", []int{900}, nil, nil, "want auto"},
		{"2-1", []int{900}, nil, nil, "want auto"},
	} {
		got, err := choose(tc.flag, tc.allowed)
		if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%q of %v: error %v, want %q", tc.flag, tc.allowed, err, tc.err)
		}
		if diff := cmp.Diff([][]int{tc.near, tc.far}, [][]int{got.near, got.far}); diff != "" {
			t.Errorf("%q of %v (-want +got):\n%s", tc.flag, tc.allowed, diff)
		}
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]int{
		"1": 1, "64": 64, "64B": 64, "4k": 4096, "4K": 4096, "4KiB": 4096, "1M": 1 << 20, "1MiB": 1 << 20, "1024M": 1 << 30,
		"": 0, "0": 0, "-1": 0, "k": 0, "4kk": 0, "4G": 0, "1.5k": 0, "1025M": 0, "99999999999999999999": 0,
	} {
		got, err := parseSize(word)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v; want %d", word, got, err, want)
		}
	}
}

func TestMedianAndSpread(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		values         []float64
		median, spread float64
	}{
		{nil, 0, 0},
		{[]float64{3}, 3, 0},
		{[]float64{10, 10, 10, 10, 10, 10, 99}, 10, 0}, // one that was held up is no noise
		{[]float64{7, 1, 6, 2, 5, 3, 4}, 4, 1},
	} {
		if median, spread := middle(tc.values); median != tc.median || spread != tc.spread {
			t.Errorf("%v: %v, %v; want %v, %v", tc.values, median, spread, tc.median, tc.spread)
		}
	}
}

func TestDisturbance(t *testing.T) {
	t.Parallel()
	before := load{total: 100, busy: 50, stolen: 1, own: 5}
	after := load{total: 200, busy: 110, stolen: 21, own: 25}
	d := after.since(before)
	if diff := cmp.Diff(disturbance{Others: 0.4, Stolen: 0.2}, d); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if w := d.warning(); !strings.Contains(w, "40 %") || !strings.Contains(w, "20 %") {
		t.Errorf("warning %q", w)
	}
	if w := (disturbance{}).warning(); w != "" {
		t.Errorf("warning %q", w)
	}
}
