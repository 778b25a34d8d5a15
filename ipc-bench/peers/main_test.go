package main

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSampleOf(t *testing.T) {
	for _, c := range []struct {
		values string
		want   sample
	}{
		{"5", sample{5, 5, 5}},
		{"3 1 2", sample{2, 2, 3}},
		{"9 8 7 6 5 4 3 2 1", sample{3, 5, 7}},
	} {
		var values []float64
		for word := range strings.FieldsSeq(c.values) {
			v, err := strconv.ParseFloat(word, 64)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, v)
		}
		if got := sampleOf(values); got != c.want {
			t.Errorf("%s: %v, want %v", c.values, got, c.want)
		}
	}
}

// Each mechanism of peer.c moves messages, from one byte to a packet, and says how
// long that took.
func TestPeer(t *testing.T) {
	cc, err := findCompiler()
	if err != nil {
		t.Skipf("NOT TESTED: %v", err)
	}
	peer := filepath.Join(t.TempDir(), "peer")
	if text, err := exec.CommandContext(t.Context(), cc, "-O2", "-Wall", "-Wextra", "-Werror", "-o", peer, "../testdata/c/peer.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	cpus := allowedCPUs(t)
	for _, m := range matches {
		near, far := cpus[0], cpus[0]
		if m.crossOnly {
			if far = cpus[len(cpus)-1]; far == near {
				continue // it would hardly end
			}
		}
		for _, size := range []string{"1", "64", "4096"} {
			t.Run(m.theirs+" "+size, func(t *testing.T) {
				cmd := exec.CommandContext(t.Context(), peer, m.theirs, size, "500", near, far)
				cmd.Dir = t.TempDir()
				text, err := output(t.Context(), cmd)
				if err != nil {
					t.Fatal(err)
				}
				words := strings.Fields(string(text))
				if len(words) != 3 {
					t.Fatalf("printed %q, want 3 numbers", text)
				}
				for _, word := range words {
					if ns, err := strconv.Atoi(word); err != nil || ns <= 0 {
						t.Errorf("printed %q, want a time in ns", word)
					}
				}
			})
		}
	}
}

// allowedCPUs returns the numbers of the processors that this process may use.
func allowedCPUs(t *testing.T) []string {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	var cpus []string
	for cpu := range 1024 {
		if set.IsSet(cpu) {
			cpus = append(cpus, strconv.Itoa(cpu))
		}
	}
	return cpus
}
