package proc

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Disposition returns what a process does about a signal: "default", "ignored" or
// "caught". procfs leaves out the masks of signals.
func Disposition(pid int, sig unix.Signal) (string, error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	word, err := parseDisposition(string(text), sig)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return word, nil
}

func parseDisposition(status string, sig unix.Signal) (string, error) {
	for _, mask := range []struct{ name, word string }{{"SigIgn", "ignored"}, {"SigCgt", "caught"}} {
		bits, err := strconv.ParseUint(field(status, mask.name), 16, 64) // a bit for each signal
		if err != nil {
			return "", fmt.Errorf("%s: %w", mask.name, err)
		}
		if bits&(1<<(sig-1)) != 0 {
			return mask.word, nil
		}
	}
	return "default", nil
}
