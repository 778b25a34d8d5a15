// Package proc reads what the kernel tells of processes in /proc (proc(5)): their
// descriptors and what these refer to, their memory, their threads and where each
// of them sleeps. It has facts; package explain has the words for them.
//
// github.com/prometheus/procfs does the reading and parsing, except where a
// comment says why not. An error matches [io/fs.ErrNotExist] if the process has
// ended, or is hidden (hidepid, proc(5)), and [io/fs.ErrPermission] if the caller
// may not look into it (ptrace(2), access mode checking). A process or thread that
// ends while its file is read yields ESRCH.
//
// Nothing here blocks, and any goroutine may call it at any time. What two calls
// return was not seen at one moment.
package proc

import (
	"strings"

	"github.com/prometheus/procfs"
)

// Self returns the id of this process in /proc, which may be mounted for another
// PID namespace than the process's own (pid_namespaces(7)).
func Self() (pid int, err error) {
	p, err := procfs.Self()
	return p.PID, err
}

// field returns the value in a line "name:	value" of a file in /proc.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
