package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/proc"
)

// pinning is on which processors the two ends run.
type pinning struct {
	near, far []int
	why       string // in words
}

func (p pinning) oneCPU() bool { return len(p.near) == 1 && slices.Equal(p.near, p.far) }

// both are the processors of the two ends together.
func (p pinning) both() []int {
	if p.oneCPU() {
		return p.near
	}
	return slices.Concat(p.near, p.far)
}

// choose turns --cpu into processors. Its errors are mistakes of the user's.
func choose(flag string, allowed []int) (pinning, error) {
	first := allowed[0]
	switch flag {
	case "same":
		return pinning{[]int{first}, []int{first}, fmt.Sprintf("both ends on CPU %d", first)}, nil
	case "auto", "cross":
		other, why := partner(first, allowed)
		switch {
		case other >= 0:
			return pinning{[]int{first}, []int{other}, why}, nil
		case flag == "auto":
			return pinning{[]int{first}, []int{first}, fmt.Sprintf("both ends on CPU %d, the only one that this process may use", first)}, nil
		}
		return pinning{}, fmt.Errorf("cross: this process may use CPU %d only: taskset and the cpuset of a container limit it", first)
	}
	cpus, err := parseCPUs(flag)
	if err != nil {
		return pinning{}, err
	}
	if len(cpus) > 2 {
		return pinning{}, fmt.Errorf("%s: %d processors for two ends", flag, len(cpus))
	}
	for _, cpu := range cpus {
		if !slices.Contains(allowed, cpu) {
			return pinning{}, fmt.Errorf("CPU %d: this process may use %s", cpu, listCPUs(allowed))
		}
	}
	near, far := cpus[0], cpus[len(cpus)-1]
	if near == far {
		return pinning{[]int{near}, []int{near}, fmt.Sprintf("both ends on CPU %d", near)}, nil
	}
	return pinning{[]int{near}, []int{far}, between(near, far)}, nil
}

// partner returns another processor than first, one with a core of its own if
// there is any; -1 if there is no other.
func partner(first int, allowed []int) (int, string) {
	siblings := siblingsOf(first)
	var other = -1
	for _, cpu := range allowed {
		switch {
		case cpu == first:
		case !slices.Contains(siblings, cpu):
			return cpu, between(first, cpu)
		case other < 0:
			other = cpu
		}
	}
	return other, between(first, other)
}

func between(near, far int) string {
	where := fmt.Sprintf("near end on CPU %d, far end on CPU %d", near, far)
	switch siblings := siblingsOf(near); {
	case slices.Contains(siblings, far):
		return where + " (two threads of one core)"
	case siblings != nil:
		return where + " (two cores)"
	}
	return where
}

// siblingsOf returns the processors that are threads of the same core as cpu, nil
// where the kernel does not say.
func siblingsOf(cpu int) []int {
	text, err := os.ReadFile(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu))
	if err != nil {
		return nil
	}
	cpus, err := parseCPUs(strings.TrimSpace(string(text)))
	if err != nil {
		return nil
	}
	return cpus
}

// parseCPUs reads a list as the kernel writes it: "0,2-3".
func parseCPUs(list string) ([]int, error) {
	var cpus []int
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(part, "-")
		low, err := strconv.Atoi(from)
		high := low
		if err == nil && isRange {
			high, err = strconv.Atoi(to)
		}
		if err != nil || low < 0 || high < low || high >= maxCPUs {
			return nil, fmt.Errorf("%q: want auto, same, cross, or processors such as 0,1", list)
		}
		for cpu := low; cpu <= high; cpu++ {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// maxCPUs is how many processors a unix.CPUSet has room for.
const maxCPUs = 1024

func cpusIn(set *unix.CPUSet) []int {
	var cpus []int
	for cpu := range maxCPUs {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

func listCPUs(cpus []int) string {
	var words []string
	for _, cpu := range cpus {
		words = append(words, strconv.Itoa(cpu))
	}
	if len(words) == 1 {
		return "CPU " + words[0] + " only"
	}
	return "CPUs " + strings.Join(words, ",")
}

// allowedCPUs returns the processors that this process may use.
func allowedCPUs() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, os.NewSyscallError("sched_getaffinity", err)
	}
	return cpusIn(&set), nil
}

// startOn calls start on a thread that may use these processors only, which the
// process that it starts inherits. So that process finds itself on a machine of
// that size, as with taskset(1): the packages of this suite look for a while
// before they sleep only if there is a processor for the other end.
func startOn(cpus []int, start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return os.NewSyscallError("sched_getaffinity", err)
	}
	during := setOf(cpus)
	if err := unix.SchedSetaffinity(0, &during); err != nil {
		return fmt.Errorf("pin to %s: %w", listCPUs(cpus), os.NewSyscallError("sched_setaffinity", err))
	}
	return errors.Join(start(), os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(0, &before)))
}

// pinSelf pins this process with all its threads, and returns the processors that
// it then may use.
func pinSelf(cpus []int) ([]int, error) {
	runtime.GOMAXPROCS(len(cpus))
	set := setOf(cpus)
	self, err := proc.Self()
	if err != nil {
		return nil, err
	}
	// A thread that comes into being meanwhile has the processors of the one that
	// has made it, so it is looked for until there is no other.
	for pinned := map[int]bool{}; ; {
		tids, err := proc.Threads(self)
		if err != nil {
			return nil, err
		}
		found := false
		for _, tid := range tids {
			if pinned[tid] {
				continue
			}
			if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) {
				return nil, fmt.Errorf("pin to %s: %w", listCPUs(cpus), os.NewSyscallError("sched_setaffinity", err))
			}
			pinned[tid], found = true, true
		}
		if !found {
			return allowedCPUs()
		}
	}
}

func setOf(cpus []int) (set unix.CPUSet) {
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	return set
}
