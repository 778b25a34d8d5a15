package main

import (
	"os"
	"testing"

	"example.com/ipcsuite/internal/chapter"
	"example.com/ipcsuite/internal/proc"
)

func TestReadme(t *testing.T) {
	t.Parallel()
	self := proc.FD{PID: os.Getpid(), FD: 0}
	if _, err := proc.Kcmp(self, self); err != nil {
		t.Skipf("NOT TESTED: the chapter shows kcmp(2), which is forbidden here: %v", err)
	}
	chapter.Run(t, "README.md",
		chapter.Mask{Pattern: `\[ \d+ \]`, With: "[ N ]"},
		chapter.Mask{Pattern: `\b(process|descriptor|inode|device) [\d:]+`, With: "$1 N"},
		chapter.Mask{Pattern: `\| \d{10} \|`, With: "| N |"},
		chapter.Mask{Pattern: `KCMP_FILE: [12]`, With: "KCMP_FILE: 1"}, // which of the two is greater
		chapter.Mask{Pattern: `[^ =]*/fifo\.ipc`, With: "fifo.ipc"},
	)
}
