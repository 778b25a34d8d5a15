package sysv

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Errors of the use of a [Segment], always wrapped with the segment's id.
var (
	ErrDetached = errors.New("segment is not attached")
	ErrAttached = errors.New("segment is attached already")
	ErrReadOnly = errors.New("segment is attached read-only")
	ErrRange    = errors.New("outside the segment")
)

// callError says what failed, in which system call and why. why may be empty.
func callError(op, call string, err error, why string) error {
	if why != "" {
		why = ": " + why
	}
	return fmt.Errorf("%s: %w%s", op, os.NewSyscallError(call, err), why)
}

// The whyNot functions look for the reason after the fact. An errno of shmget
// has several causes, which the kernel does not tell apart, so they compare its
// limits and its list of segments with what was asked.

func whyNotCreated(err error, key Key, size int) string {
	switch {
	case errors.Is(err, unix.EEXIST):
		return "the key is taken" + found(byKey(key)) + "; open it, or remove it if nobody needs it"
	case errors.Is(err, unix.EINVAL):
		if limit, err := readLimit("shmmax"); err == nil && uint64(size) > limit {
			return fmt.Sprintf("SHMMAX, the largest size of a segment, is %d bytes (sysctl kernel.shmmax)", limit)
		}
	case errors.Is(err, unix.ENOSPC):
		return whyNoSpace(size)
	case errors.Is(err, unix.ENOMEM):
		return "the kernel cannot promise that much memory (see vm.overcommit_memory in proc_sys_vm(5))"
	}
	return ""
}

// whyNoSpace tells apart the limits behind ENOSPC, in the order in which the
// kernel checks them (newseg and ipc_addid).
func whyNoSpace(size int) string {
	list, err1 := List()
	shmall, err2 := readLimit("shmall")
	shmmni, err3 := readLimit("shmmni")
	if errors.Join(err1, err2, err3) == nil {
		used := uint64(0)
		for _, i := range list {
			used += pages(i.Size)
		}
		if need := pages(int64(size)); need > shmall || used > shmall-need {
			return fmt.Sprintf("SHMALL, the pages in all segments together, is %d (sysctl kernel.shmall): %d are in use, %d more were asked for", shmall, used, need)
		}
		if uint64(len(list)) >= shmmni {
			return fmt.Sprintf("SHMMNI, the number of segments, is %d (sysctl kernel.shmmni), and there are %d; remove some", shmmni, len(list))
		}
	}
	return "the limit SHMALL or SHMMNI was reached (sysctl kernel.shmall, kernel.shmmni)"
}

func whyNotOpened(err error, key Key, size int) string {
	switch {
	case errors.Is(err, unix.ENOENT):
		return "no such segment: is the server running, and in this IPC namespace? (containers share one only if told to, with --ipc)"
	case errors.Is(err, unix.EINVAL):
		return fmt.Sprintf("it has fewer than the %d bytes asked for%s", size, found(byKey(key)))
	case errors.Is(err, unix.EACCES):
		return "its mode does not let this user read" + found(byKey(key))
	}
	return ""
}

func whyNotReached(err error, id int) string {
	byID := func(i Info) bool { return i.ID == id }
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EIDRM): // EIDRM if it went during the call
		return "no such segment in this IPC namespace (any more)"
	case errors.Is(err, unix.EACCES):
		return "its mode does not permit this user to" + found(byID)
	case errors.Is(err, unix.EPERM):
		return "only its owner, its creator and root (CAP_SYS_ADMIN) may" + found(byID)
	case errors.Is(err, unix.ENOMEM):
		return "no room in the address space (ulimit -v, vm.max_map_count)"
	}
	return ""
}

func byKey(key Key) func(Info) bool {
	return func(i Info) bool { return i.Key == key }
}

// found describes the first segment that matches, or is empty if the list
// cannot be read or the segment is gone by now.
func found(match func(Info) bool) string {
	list, _ := List()
	for _, i := range list {
		if match(i) {
			return fmt.Sprintf(" (%v)", i)
		}
	}
	return ""
}

// readLimit reads one of the IPC namespace's limits, which go beyond int64.
func readLimit(name string) (uint64, error) {
	b, err := os.ReadFile("/proc/sys/kernel/" + name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
}

func pages(size int64) uint64 {
	page := uint64(os.Getpagesize())
	return (uint64(size) + page - 1) / page
}
