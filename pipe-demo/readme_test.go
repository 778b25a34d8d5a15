package main

import (
	"os"
	"testing"

	"example.com/ipcsuite/internal/chapter"
	"example.com/ipcsuite/internal/proc"
)

func TestReadme(t *testing.T) {
	self := proc.FD{PID: os.Getpid(), FD: 0}
	if _, err := proc.Kcmp(self, self); err != nil {
		t.Skipf("NOT TESTED: the chapter shows kcmp(2), which is forbidden here: %v", err)
	}
	chapter.Run(t, "README.md",
		chapter.Mask{Pattern: `\b(pid :|[Pp]rocess |reader |writer |thread |descriptor |inode )\d+`, With: "${1}N"},
		chapter.Mask{Pattern: `\b(inodes|processes) \d+(,| and) \d+`, With: "$1 N, N"},
		chapter.Mask{Pattern: `pipe:\[\d+\]`, With: "pipe:[N]"},
		chapter.Mask{Pattern: `device 0:\d+`, With: "device 0:N"},
		chapter.Mask{Pattern: `\b(anon_)?pipe_(read|write)\b`, With: "pipe_$2"}, // the kernel's names for them
		chapter.Mask{Pattern: `\d+ and \d+ pieces`, With: "N and N pieces"},
		chapter.Mask{Pattern: `\| \d{10} \|`, With: "| N |"},
		chapter.Mask{Pattern: `not delivered: [67] of 7`, With: "not delivered: N of 7"}, // exercise 1
	)
}
