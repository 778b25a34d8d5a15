package sysv

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// List returns the segments of the caller's IPC namespace, whoever owns them,
// in the order of /proc/sysvipc/shm (proc_sysvipc(5)). Reading that takes no
// permission on the segments and changes nothing. Segments that come and go
// meanwhile may or may not be listed.
func List() ([]Info, error) {
	text, err := os.ReadFile("/proc/sysvipc/shm")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list segments: %w: is /proc mounted?", err)
	}
	if err != nil {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	list, err := parseList(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("list segments: /proc/sysvipc/shm: %w", err)
	}
	return list, nil
}

// columns are those of /proc/sysvipc/shm that must be there. They are looked up
// by name, because their widths differ between 32 and 64 bit kernels. bits is
// the size of a signed number, so an unsigned one of 32 bits takes 33.
var columns = [...]struct {
	name string
	base int
	bits int
	set  func(*Info, int64)
}{
	{"key", 10, 32, func(i *Info, v int64) { i.Key = Key(v) }},
	{"shmid", 10, 32, func(i *Info, v int64) { i.ID = int(v) }},
	{"perms", 8, 32, func(i *Info, v int64) { i.setMode(uint32(v)) }},
	{"size", 10, 64, func(i *Info, v int64) { i.Size = v }},
	{"cpid", 10, 32, func(i *Info, v int64) { i.CreatorPID = int(v) }},
	{"lpid", 10, 32, func(i *Info, v int64) { i.LastPID = int(v) }},
	{"nattch", 10, 32, func(i *Info, v int64) { i.Attached = int(v) }},
	{"uid", 10, 33, func(i *Info, v int64) { i.UID = uint32(v) }},
	{"gid", 10, 33, func(i *Info, v int64) { i.GID = uint32(v) }},
	{"cuid", 10, 33, func(i *Info, v int64) { i.CUID = uint32(v) }},
	{"cgid", 10, 33, func(i *Info, v int64) { i.CGID = uint32(v) }},
	{"atime", 10, 64, func(i *Info, v int64) { i.AttachTime = when(v) }},
	{"dtime", 10, 64, func(i *Info, v int64) { i.DetachTime = when(v) }},
	{"ctime", 10, 64, func(i *Info, v int64) { i.ChangeTime = when(v) }},
	{"rss", 10, 64, func(i *Info, v int64) { i.Resident = v }},
	{"swap", 10, 64, func(i *Info, v int64) { i.Swapped = v }},
}

// parseList reads the format of /proc/sysvipc/shm: a line of column names, then
// a line of numbers for each segment.
func parseList(r io.Reader) ([]Info, error) {
	lines := bufio.NewScanner(r)
	if !lines.Scan() {
		return nil, fmt.Errorf("line 1: %w", cmp.Or(lines.Err(), io.ErrUnexpectedEOF))
	}
	header := strings.Fields(lines.Text())
	var place [len(columns)]int
	for c, col := range columns {
		if place[c] = slices.Index(header, col.name); place[c] < 0 {
			return nil, fmt.Errorf("line 1: no column %q", col.name)
		}
	}
	var list []Info
	n := 2
	for ; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) != len(header) {
			return nil, fmt.Errorf("line %d: %d fields under %d column names", n, len(fields), len(header))
		}
		var info Info
		for c, col := range columns {
			v, err := strconv.ParseInt(fields[place[c]], col.base, col.bits)
			// All but the key are printed unsigned.
			if err != nil || v < 0 && col.name != "key" {
				return nil, fmt.Errorf("line %d: %s %q is not a number in range", n, col.name, fields[place[c]])
			}
			col.set(&info, v)
		}
		list = append(list, info)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", n, err)
	}
	return list, nil
}
