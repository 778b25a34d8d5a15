package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
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
	m := machine{CPU: cpuModel(), CPUs: onlineCPUs(), Go: runtime.Version() + " " + runtime.GOARCH, Revision: revision}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	return m
}

// cpuModel returns what /proc/cpuinfo says, which differs between architectures.
func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	fields := map[string]string{}
	for line := range bytes.Lines(text) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		fields[string(bytes.TrimSpace(name))] = string(bytes.TrimSpace(value))
	}
	for _, name := range []string{"model name", "Model", "Hardware", "cpu"} {
		if fields[name] != "" {
			return fields[name]
		}
	}
	if fields["CPU implementer"] != "" {
		return fmt.Sprintf("implementer %s part %s", fields["CPU implementer"], fields["CPU part"])
	}
	return "unknown"
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

// clockTick is the unit of /proc/stat: USER_HZ, 100 on every Linux there is.
const clockTick = 100

func loadNow() (load, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return load{}, err
	}
	line, err := bufio.NewReader(bytes.NewReader(text)).ReadString('\n')
	fields := strings.Fields(line)
	if err != nil || len(fields) < 9 || fields[0] != "cpu" {
		return load{}, fmt.Errorf("/proc/stat starts with %q", line)
	}
	var l load
	// user nice system idle iowait irq softirq steal; what follows is in user and
	// nice already (proc_stat(5)).
	for i, field := range fields[1:9] {
		ticks, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return load{}, fmt.Errorf("/proc/stat: %w", err)
		}
		seconds := ticks / clockTick
		l.total += seconds
		switch i {
		case 3, 4:
		case 7:
			l.stolen = seconds
		default:
			l.busy += seconds
		}
	}
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
