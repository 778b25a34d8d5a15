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

// CPUTime is what all processors together have done since the machine was started,
// in seconds.
type CPUTime struct{ Busy, Idle, Stolen float64 }

// CPUTimeNow reads /proc/stat (proc_stat(5)). The time of guests is in user and nice
// already.
func CPUTimeNow() (CPUTime, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return CPUTime{}, err
	}
	s, err := fs.Stat()
	t := s.CPUTotal
	return CPUTime{
		Busy:   t.User + t.Nice + t.System + t.IRQ + t.SoftIRQ,
		Idle:   t.Idle + t.Iowait,
		Stolen: t.Steal,
	}, err
}
