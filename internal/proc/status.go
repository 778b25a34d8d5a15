package proc

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// status is what /proc/PID/status or /proc/PID/task/TID/status says at one moment
// (proc_pid_status(5)). procfs leaves out the state and the masks of signals.
type status struct {
	state           string // the letter
	switches        string // how often it gave up the processor to wait
	ignored, caught string // signals, a bit each, in hexadecimal
}

func readStatus(path string) (status, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return status{}, err
	}
	return parseStatus(string(text)), nil
}

// parseStatus relies on one line for each field: the kernel writes a line feed in
// the name, which a process chooses, as \n.
func parseStatus(text string) status {
	state, _, _ := strings.Cut(field(text, "State"), " ")
	return status{
		state:    state,
		switches: field(text, "voluntary_ctxt_switches"),
		ignored:  field(text, "SigIgn"),
		caught:   field(text, "SigCgt"),
	}
}

// Disposition returns what a process does about a signal: "default", "ignored" or
// "caught".
func Disposition(pid int, sig unix.Signal) (string, error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	s, err := readStatus(path)
	if err != nil {
		return "", err
	}
	word, err := s.disposition(sig)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return word, nil
}

func (s status) disposition(sig unix.Signal) (string, error) {
	for _, mask := range []struct{ bits, word string }{{s.ignored, "ignored"}, {s.caught, "caught"}} {
		bits, err := strconv.ParseUint(mask.bits, 16, 64)
		if err != nil {
			return "", fmt.Errorf("signals %s: %w", mask.word, err)
		}
		if bits&(1<<(sig-1)) != 0 {
			return mask.word, nil
		}
	}
	return "default", nil
}
