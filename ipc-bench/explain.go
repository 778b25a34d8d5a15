package main

import (
	"fmt"

	"example.com/ipcsuite/internal/explain"
)

// showShared prints what the kernel shows of two ends that have met: what both have.
func (pr *pair) showShared(e *explain.Evidence, title string) {
	if !e.Wanted() {
		return
	}
	for _, p := range pr.ends {
		e.Print(fmt.Sprintf("%s: %s is process %d, on CPUs %v", title, p.name, p.cmd.Process.Pid, p.self.CPUs))
	}
	if len(pr.ends) == 2 {
		e.Print(explain.Shared(pr.ends[0].cmd.Process.Pid, pr.ends[1].cmd.Process.Pid)...)
	}
}
