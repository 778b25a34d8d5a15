package fifo

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// More messages can be unread than a Writer has made room for at first: in a
// pipe larger than an unprivileged user can have.
func TestWriterMakesRoomForAllThatIsUnread(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "fifo")
	f, err := Create(context.Background(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Remove()
	if _, err := f.SetCapacity(1 << 20); err != nil {
		t.Fatal(err)
	}
	w, err := OpenWriter(context.Background(), path, NoWait)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.sizes = make([]uint16, 0, 1)
	buf := make([]byte, Atomic)
	unread := 0
	// Up and down, so that both room is made and read messages are forgotten.
	for i := range 2000 {
		if _, err := w.Write(buf[:1+i%97]); err != nil {
			t.Fatal(err)
		}
		unread++
		for i%400 > 200 && unread > 0 && unread > 3*(400-i%400)/4 {
			if _, err := f.TryRead(buf); err != nil {
				t.Fatal(err)
			}
			unread--
		}
		if n, err := w.Unread(); n != unread || err != nil {
			t.Fatalf("after message %d, Unread: %d, %v; want %d", i, n, err, unread)
		}
	}
	if c := cap(w.sizes); c > 1000 {
		t.Errorf("room for %d messages, of which never more than some 200 were unread", c)
	}
}

func TestOnlyWhatNobodyElseCanOpenIsPrivate(t *testing.T) {
	t.Parallel()
	me := uint32(os.Geteuid())
	for _, tt := range []struct {
		uid, mode uint32
		want      bool
	}{
		{me, 0o600, true}, {me, 0o400, true}, {me, 0o640, false}, {me, 0o620, false},
		{me, 0o604, false}, {me, 0o602, false}, {me + 1, 0o600, false},
	} {
		if got := isPrivate(&unix.Stat_t{Uid: tt.uid, Mode: unix.S_IFIFO | tt.mode}); got != tt.want {
			t.Errorf("uid %d, mode %#o: %v", tt.uid, tt.mode, got)
		}
	}
}

// FuzzMark feeds what a read(2) of a SharedReader can return: anything, with the
// packet of the mark behind it or not.
func FuzzMark(f *testing.F) {
	f.Add([]byte(nil), true, uint16(0))
	f.Add([]byte("stream"), true, uint16(0))
	f.Add([]byte("message"), false, uint16(0))
	f.Add(make([]byte, Atomic), false, uint16(0))
	f.Add(append([]byte("0123456789abcdef"), make([]byte, Atomic-16)...), false, uint16(0))
	f.Add([]byte("a packet that a short buffer has cut"), true, uint16(1))
	f.Fuzz(func(t *testing.T, text []byte, marked bool, short uint16) {
		m := mark([]byte("0123456789abcdef"))
		packet := append(m[:], make([]byte, Atomic-len(m))...)
		all := bytes.Clone(text)
		if marked {
			all = append(all, packet...)
		}
		all = all[:max(0, len(all)-int(short))]

		before, found := m.cut(all)
		// By definition: the last Atomic bytes start with the mark.
		isMark := len(all) >= Atomic && bytes.HasPrefix(all[len(all)-Atomic:], m[:])
		switch {
		case found != isMark:
			t.Errorf("mark found: %v, want %v", found, isMark)
		case found && !bytes.Equal(before, all[:len(all)-Atomic]):
			t.Error("what stands before the mark has changed")
		case !found && !bytes.Equal(before, all):
			t.Error("text without a mark has changed")
		}
		if marked && short == 0 && !bytes.Equal(before, text) {
			t.Error("what was written before the mark is not what is read")
		}
	})
}

// FuzzFdinfo feeds what could stand in /proc/PID/fdinfo/FD.
func FuzzFdinfo(f *testing.F) {
	for _, flags := range []int{unix.O_RDONLY, unix.O_WRONLY, unix.O_RDWR, unix.O_PATH} {
		fd, err := unix.Open("/dev/null", flags|unix.O_CLOEXEC, 0)
		if err != nil {
			f.Fatal(err)
		}
		text, err := os.ReadFile("/proc/self/fdinfo/" + filepath.Base(procName(fd)))
		closeFD(fd)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("")
	f.Add("flags:")
	f.Add("flags:\t99999999999999999999999\n")
	f.Add("pos:\t0\nflags:\t02000000\nflags:\t01\n")
	f.Add("flags: 0100000\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		reads := opensForReading(text)
		if reads && !bytes.Contains([]byte(text), []byte("flags:")) {
			t.Errorf("%q opens for reading", text)
		}
		// What other lines say makes no difference.
		if opensForReading("pos:\t0\nmnt_id:\t1\n"+text) != reads {
			t.Errorf("%q is read otherwise behind other lines", text)
		}
	})
}

func TestDescriptorsOpenForReadingAreTold(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for flags, want := range map[int]bool{
		unix.O_RDONLY:                   true,
		unix.O_RDWR:                     true,
		unix.O_RDONLY | unix.O_NONBLOCK: true,
		unix.O_WRONLY:                   false,
		unix.O_WRONLY | unix.O_APPEND:   false,
		unix.O_PATH:                     false,
	} {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := readable("/proc/self/fdinfo/" + filepath.Base(procName(fd))); got != want {
			t.Errorf("flags %#o: %v, want %v", flags, got, want)
		}
		closeFD(fd)
	}
}
