package proc

import (
	"fmt"
	"os"

	"github.com/prometheus/procfs"
)

// CPUModel returns what kind of processor the first one is; empty where the kernel does
// not tell. Each architecture has words of its own in /proc/cpuinfo (proc_cpuinfo(5)), of
// which procfs knows some: not those of ARM boards.
func CPUModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // without, no field is found
	for _, name := range []string{"model name", "Model", "Hardware", "cpu"} {
		if model := field(string(text), name); model != "" {
			return model
		}
	}
	if implementer := field(string(text), "CPU implementer"); implementer != "" { // arm64 has numbers only
		return fmt.Sprintf("implementer %s part %s", implementer, field(string(text), "CPU part"))
	}
	return ""
}

// CPUTime returns what all processors together have done since the machine was
// started, in seconds (proc_stat(5)).
func CPUTime() (busy, idle, stolen float64, err error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, 0, 0, err
	}
	s, err := fs.Stat()
	t := s.CPUTotal // the time of guests is in user and nice already
	return t.User + t.Nice + t.System + t.IRQ + t.SoftIRQ, t.Idle + t.Iowait, t.Steal, err
}
