package proc

import (
	"fmt"

	"github.com/prometheus/procfs"
)

// CPUModel returns what kind of processor the first one is; empty where the kernel
// does not tell.
func CPUModel() string {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return ""
	}
	cpus, err := fs.CPUInfo()
	switch {
	case err != nil || len(cpus) == 0:
		return ""
	case cpus[0].ModelName == "" && cpus[0].VendorID != "": // arm64 has numbers only
		return fmt.Sprintf("implementer %s part %s", cpus[0].VendorID, cpus[0].Model)
	}
	return cpus[0].ModelName
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
