package main

import (
	"testing"

	"example.com/ipcsuite/internal/chapter"
)

func TestReadme(t *testing.T) {
	chapter.Run(t, "README.md",
		chapter.Mask{Pattern: `\| \d{10} \|`, With: "| N |"},
		chapter.Mask{Pattern: `\b(process|descriptor|inode|shmid|segment|cpid|uid|gid|cuid|cgid|ctime) \d+\b`, With: "$1 N"},
		chapter.Mask{Pattern: `device \d+:\d+`, With: "device N"},
		chapter.Mask{Pattern: `\b(lpid|atime|dtime) [1-9]\d*`, With: "$1 N"}, // 0 is that there was none
		chapter.Mask{Pattern: `(nattch 2, .* dtime) (0|N)\b`, With: "$1 N"},  // a client may have had a look first
		chapter.Mask{Pattern: `\b(key) -?[1-9]\d*`, With: "$1 N"},
		chapter.Mask{Pattern: `shmid=\d+`, With: "shmid=N"},
		chapter.Mask{Pattern: `0x[0-9a-f]{8}\b`, With: "0xN"},
		chapter.Mask{Pattern: `\b(device|inode) 0x[0-9a-f]+ gives 0x[0-9a-f]+( \(0x[0-9a-f]+ ignored\))?`, With: "$1 N"},
		chapter.Mask{Pattern: `(heap: \S+ rw-p \S+ \S+ 0).*`, With: "$1"}, // newer kernels give it a name
		chapter.Mask{Pattern: `[0-9a-f]+-[0-9a-f]+ (r[w-][x-]?-?[ps]) [0-9a-f]+ \S+ \d+`, With: "N $1"},
		chapter.Mask{Pattern: `SYSV[0-9a-f]{8}`, With: "SYSVN"},
		chapter.Mask{Pattern: `\d+ [TP]iB: (mmap\(2\) takes pages up to) 0x[0-9a-f]+`, With: "N: $1 N"},
		chapter.Mask{Pattern: `[^ ="(]*/shm\.fifo`, With: "shm.fifo"},
		chapter.Mask{Pattern: `ftok\("[^"]*"`, With: `ftok("N"`},
		chapter.Mask{Pattern: `reads=[1-9]\d*`, With: "reads=N"},
		chapter.Mask{Pattern: `repeated=[1-9]\d*`, With: "repeated=N"},
		// Without access control everything is possible but that nothing is lost.
		chapter.Mask{Pattern: `lost=[1-9]\d* repeated=(N|0) torn=\d+ whole=\d+`, With: "lost=N, others N"},
	)
}
