package explain

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/proc"
)

// Node describes an object's inode: what there would be to see on a disk.
func Node(o proc.Object) string {
	kind := "not a FIFO"
	if o.IsFIFO() {
		kind = "a FIFO"
	}
	return fmt.Sprintf("%s is %s: inode %d on device %s, size %d, %d blocks on disk",
		o, kind, o.Stat.Ino, o.Device(), o.Stat.Size, o.Stat.Blocks)
}

// Holders returns a line for each process: which of its descriptors refer to the
// object, and what each is open for.
func Holders(o proc.Object, pids ...int) []string {
	lines := make([]string, len(pids))
	for i, pid := range pids {
		ends, err := o.Ends(pid)
		switch {
		case err != nil:
			lines[i] = unseen(fmt.Sprintf("whether process %d has %s open", pid, o), err)
		case len(ends) == 0:
			lines[i] = fmt.Sprintf("process %d does not have %s open", pid, o)
		default:
			held := make([]string, len(ends))
			for j, end := range ends {
				held[j] = fmt.Sprintf("descriptor %d%s", end.FD, direction(end))
			}
			lines[i] = fmt.Sprintf("process %d has %s open: %s", pid, o, strings.Join(held, ", "))
		}
	}
	return lines
}

// direction says nothing where the kernel does not tell.
func direction(end proc.FD) string {
	flags, err := end.Flags()
	if err != nil {
		return ""
	}
	return map[int]string{unix.O_RDONLY: " (read end)", unix.O_WRONLY: " (write end)", unix.O_RDWR: " (both ends)"}[flags&unix.O_ACCMODE]
}

// Description says whether two descriptors share an open file description.
func Description(a, b proc.FD) string {
	order, err := proc.Kcmp(a, b)
	both := fmt.Sprintf("%v and %v", a, b)
	switch {
	case err != nil:
		return unseen("whether "+both+" share an open file description", err)
	case order == 0:
		return fmt.Sprintf("%s share one open file description (kcmp KCMP_FILE: 0, equal)", both)
	default:
		return fmt.Sprintf("%s are two open file descriptions (kcmp KCMP_FILE: %d, not equal)", both, order)
	}
}
