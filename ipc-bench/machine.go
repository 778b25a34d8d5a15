package main

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/proc"
)

// machine is where it was measured.
type machine struct {
	CPU      string `json:"cpu"`
	CPUs     int    `json:"cpus"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"`
	Revision string `json:"revision"`
}

func thisMachine(revision string) machine {
	m := machine{CPU: cmp.Or(proc.CPUModel(), "unknown"), CPUs: onlineCPUs(), Go: runtime.Version() + " " + runtime.GOARCH, Revision: revision}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	return m
}

func onlineCPUs() int {
	text, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err == nil {
		if cpus, err := parseCPUs(strings.TrimSpace(string(text))); err == nil {
			return len(cpus)
		}
	}
	return runtime.NumCPU()
}

// load is what all processors have done since the machine was started.
type load struct {
	total, busy, stolen float64 // seconds of processor time
	own                 float64 // of this process and its children that have ended
}

func loadNow() (load, error) {
	busy, idle, stolen, err := proc.CPUTime()
	if err != nil {
		return load{}, err
	}
	l := load{total: busy + idle + stolen, busy: busy, stolen: stolen}
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var r unix.Rusage
		if err := unix.Getrusage(who, &r); err != nil {
			return load{}, os.NewSyscallError("getrusage", err)
		}
		l.own += time.Duration(r.Utime.Nano() + r.Stime.Nano()).Seconds()
	}
	return l, nil
}

// disturbance is who else had the processors while it was measured, as parts of
// all their time.
type disturbance struct {
	Others float64 `json:"others"` // programs on this machine
	Stolen float64 `json:"stolen"` // the host's, of a virtual machine
}

func (l load) since(before load) disturbance {
	total := l.total - before.total
	if total <= 0 {
		return disturbance{}
	}
	others := (l.busy - before.busy) - (l.own - before.own)
	return disturbance{Others: max(0, others/total), Stolen: max(0, (l.stolen-before.stolen)/total)}
}

// busyAbove is the part of the processors' time from which on others disturb.
const busyAbove = 0.05

func (d disturbance) warning() string {
	var who []string
	if d.Others > busyAbove {
		who = append(who, fmt.Sprintf("other programs used %.0f %% of the processors' time", 100*d.Others))
	}
	if d.Stolen > busyAbove {
		who = append(who, fmt.Sprintf("the host of this virtual machine took %.0f %%", 100*d.Stolen))
	}
	return strings.Join(who, ", and ")
}

// clockCost returns how long it takes to look at the clock once, as each round
// trip does in addition to itself.
func clockCost() time.Duration {
	const looks = 10_000
	start := time.Now()
	for range looks {
		_ = time.Since(start)
	}
	return time.Since(start) / looks
}
