package sysv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// create makes a segment that is gone when the test is over.
func create(t testing.TB, key Key, size int, perm fs.FileMode) *Segment {
	t.Helper()
	s, err := Create(key, size, perm)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test may have done either itself.
		_ = s.Detach()
		_ = s.Remove()
	})
	return s
}

// attached is create and Attach.
func attached(t testing.TB, size int) *Segment {
	t.Helper()
	s := create(t, Private, size, 0o600)
	if err := s.Attach(); err != nil {
		t.Fatal(err)
	}
	return s
}

func openID(t *testing.T, id int) *Segment {
	t.Helper()
	s, err := OpenID(id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Detach() })
	return s
}

// newKey returns a key that no other test has, and no segment.
func newKey(t *testing.T) Key {
	t.Helper()
	_, key := newFolder(t, 's')
	return key
}

// newFolder makes a folder and returns its key, which no segment has: a test that
// was killed may have left one, and the folder been given its inode.
func newFolder(t *testing.T, projID int) (string, Key) {
	t.Helper()
	for {
		dir := t.TempDir() // another each time
		key, err1 := Ftok(dir, projID)
		list, err2 := List()
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(list, byKey(key)) {
			return dir, key
		}
	}
}

func stats(t *testing.T, s *Segment) Info {
	t.Helper()
	info, err := s.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// listed returns the segment's entry in List, which the segment must have.
func listed(t *testing.T, s *Segment) Info {
	t.Helper()
	list, err := List()
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range list {
		if info.ID == s.ID() {
			return info
		}
	}
	t.Fatalf("segment %d is not listed", s.ID())
	return Info{}
}

func TestWhatOneHandleWritesAnotherReads(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	writer := create(t, key, 100, 0o600)
	reader, err := Open(key, 100)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Detach() })
	if reader.ID() != writer.ID() || reader.Key() != key || reader.Size() != 100 {
		t.Errorf("opened id %d, key %v, size %d, want %d, %v, 100", reader.ID(), reader.Key(), reader.Size(), writer.ID(), key)
	}
	if err := errors.Join(writer.Attach(), reader.AttachReadOnly()); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.WriteAt([]byte("hello"), 40); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 7)
	if _, err := reader.ReadAt(got, 39); err != nil || string(got) != "\x00hello\x00" {
		t.Errorf("read %q, %v, want hello between zeros", got, err)
	}
}

func TestReadAtKeepsTheContractOfReaderAt(t *testing.T) {
	t.Parallel()
	s := attached(t, 8)
	if _, err := s.WriteAt([]byte("01234567"), 0); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		n    int
		off  int64
		want string
		err  error
	}{
		{"all of it", 8, 0, "01234567", nil},
		{"the end", 3, 5, "567", nil},
		{"beyond the end", 4, 5, "567", io.EOF},
		{"at the end", 1, 8, "", io.EOF},
		{"far away", 1, 1 << 62, "", io.EOF},
		{"nothing, at the end", 0, 8, "", nil},
		{"a negative offset", 1, -1, "", ErrRange},
	} {
		p := make([]byte, test.n)
		n, err := s.ReadAt(p, test.off)
		if string(p[:n]) != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: got %q, %v, want %q, %v", test.name, p[:n], err, test.want, test.err)
		}
	}
}

func TestWriteThatDoesNotFitIsRefusedWhole(t *testing.T) {
	t.Parallel()
	s := attached(t, 8)
	for _, test := range []struct {
		name string
		n    int
		off  int64
		err  error
	}{
		{"all of it", 8, 0, nil},
		{"the last byte", 1, 7, nil},
		{"nothing, at the end", 0, 8, nil},
		{"one byte too many", 9, 0, ErrRange},
		{"over the end", 2, 7, ErrRange},
		{"at the end", 1, 8, ErrRange},
		{"nothing, beyond the end", 0, 9, ErrRange},
		{"far away", 1, 1<<63 - 1, ErrRange},
		{"a negative offset", 1, -1, ErrRange},
	} {
		blank := bytes.Repeat([]byte{'.'}, 8)
		if _, err := s.WriteAt(blank, 0); err != nil {
			t.Fatal(err)
		}
		want := bytes.Clone(blank)
		wrote := 0
		if test.err == nil {
			wrote = copy(want[test.off:], strings.Repeat("x", test.n))
		}
		n, err := s.WriteAt(bytes.Repeat([]byte{'x'}, test.n), test.off)
		if n != wrote || !errors.Is(err, test.err) {
			t.Errorf("%s: got %d, %v, want %d, %v", test.name, n, err, wrote, test.err)
		}
		got := make([]byte, 8)
		if _, err := s.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: the segment has %q, %v, want %q", test.name, got, err, want)
		}
	}
}

func TestNothingReachesADetachedSegment(t *testing.T) {
	t.Parallel()
	s := create(t, Private, 8, 0o600)
	calls := map[string]func() error{
		"ReadAt":  func() error { _, err := s.ReadAt(make([]byte, 1), 0); return err },
		"WriteAt": func() error { _, err := s.WriteAt([]byte{1}, 0); return err },
		"Use":     func() error { return s.Use(func([]byte) error { t.Error("Use called"); return nil }) },
		"Detach":  s.Detach,
	}
	check := func(when string) {
		for name, call := range calls {
			if err := call(); !errors.Is(err, ErrDetached) {
				t.Errorf("%s %s: %v, want ErrDetached", name, when, err)
			}
		}
	}
	check("before Attach")
	if err := errors.Join(s.Attach(), s.Detach()); err != nil {
		t.Fatal(err)
	}
	check("after Detach")
	if err := s.Attach(); err != nil {
		t.Errorf("second Attach: %v", err)
	}
}

func TestAttachingTwiceIsRefused(t *testing.T) {
	t.Parallel()
	s := attached(t, 8)
	for _, attach := range []func() error{s.Attach, s.AttachReadOnly} {
		if err := attach(); !errors.Is(err, ErrAttached) {
			t.Errorf("got %v, want ErrAttached", err)
		}
	}
	if n := stats(t, s).Attached; n != 1 {
		t.Errorf("attached %d times, want 1", n)
	}
}

func TestWritingToAReadOnlySegmentIsAnError(t *testing.T) {
	t.Parallel()
	s := create(t, Private, 8, 0o600)
	if err := s.AttachReadOnly(); err != nil {
		t.Fatal(err)
	}
	if n, err := s.WriteAt([]byte{1}, 0); n != 0 || !errors.Is(err, ErrReadOnly) {
		t.Errorf("got %d, %v, want ErrReadOnly", n, err)
	}
	if err := errors.Join(s.Detach(), s.Attach()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.WriteAt([]byte{1}, 0); err != nil {
		t.Errorf("attached again, for writing: %v", err)
	}
}

func TestUseLendsTheSegmentsBytesAndNoMore(t *testing.T) {
	t.Parallel()
	s := attached(t, 4097)
	sentinel := errors.New("from fn")
	err := s.Use(func(mem []byte) error {
		if len(mem) != 4097 || cap(mem) != 4097 {
			t.Errorf("len %d, cap %d, want 4097", len(mem), cap(mem))
		}
		mem[4096] = 'x'
		return sentinel
	})
	if !errors.Is(err, sentinel) {
		t.Errorf("Use returned %v, want the function's error", err)
	}
	var got [1]byte
	if _, err := s.ReadAt(got[:], 4096); err != nil || got[0] != 'x' {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestDetachWaitsForUse(t *testing.T) {
	t.Parallel()
	s := attached(t, 8)
	detached := make(chan error, 1)
	finished := false
	err := s.Use(func(mem []byte) error {
		go func() {
			err := s.Detach()
			if !finished {
				t.Error("Detach returned before Use did")
			}
			detached <- err
		}()
		// Once Detach waits for the lock, new readers are kept out.
		for len(detached) == 0 && s.mu.TryRLock() {
			s.mu.RUnlock()
		}
		mem[0] = 1 // would fault if it were unmapped
		finished = true
		return nil
	})
	if err := errors.Join(err, <-detached); err != nil {
		t.Error(err)
	}
}

func TestDetachDuringReadsAndWritesDoesNotCrash(t *testing.T) {
	t.Parallel()
	s := attached(t, 1<<16)
	stop := make(chan struct{})
	var users sync.WaitGroup
	p, q := make([]byte, 1<<16), make([]byte, 1<<16)
	for _, call := range []func() error{
		func() error { _, err := s.ReadAt(p, 0); return err },
		func() error { _, err := s.WriteAt(q, 0); return err },
		func() error { return s.Use(func(mem []byte) error { mem[0]++; return nil }) },
	} {
		users.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := call(); err != nil && !errors.Is(err, ErrDetached) {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 200 {
		if err := errors.Join(s.Detach(), s.Attach()); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	users.Wait()
}

func TestARemovedSegmentLivesUntilItsLastDetach(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	s := create(t, key, 8, 0o600)
	if err := errors.Join(s.Attach(), s.Remove()); err != nil {
		t.Fatal(err)
	}
	for name, info := range map[string]Info{"Stat": stats(t, s), "List": listed(t, s)} {
		if !info.Marked || info.Key != Private || info.Attached != 1 {
			t.Errorf("%s after Remove: %+v, want it marked, without key and attached once", name, info)
		}
	}
	if _, err := Open(key, 0); !errors.Is(err, unix.ENOENT) {
		t.Errorf("Open by the removed segment's key: %v, want ENOENT", err)
	}
	if again := create(t, key, 8, 0o600); again.ID() == s.ID() {
		t.Errorf("the key is not free for a new segment")
	}
	if _, err := s.WriteAt([]byte("works"), 0); err != nil {
		t.Error(err)
	}
	late := openID(t, s.ID())
	if err := late.Attach(); err != nil {
		t.Errorf("Linux lets those who know the id attach, got %v", err)
	}
	if err := errors.Join(s.Detach(), late.Detach()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stat(); !errors.Is(err, unix.EINVAL) {
		t.Errorf("Stat after the last detach: %v, want EINVAL", err)
	}
}

func TestASegmentOutlivesEveryAttachment(t *testing.T) {
	t.Parallel()
	s := attached(t, 8)
	if _, err := s.WriteAt([]byte("remember"), 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Detach(); err != nil {
		t.Fatal(err)
	}
	later := openID(t, s.ID())
	if err := later.Attach(); err != nil {
		t.Fatal(err)
	}
	var got [8]byte
	if _, err := later.ReadAt(got[:], 0); err != nil || string(got[:]) != "remember" {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestOneByteMoreTakesOnePageMore(t *testing.T) {
	t.Parallel()
	page := os.Getpagesize()
	s := attached(t, page+1)
	if rss := listed(t, s).Resident; rss != 0 {
		t.Errorf("%d bytes resident before the first touch", rss)
	}
	if _, err := s.WriteAt(make([]byte, page+1), 0); err != nil {
		t.Fatal(err)
	}
	info := listed(t, s)
	if info.Size != int64(page)+1 || info.Resident+info.Swapped != 2*int64(page) {
		t.Errorf("size %d, resident and swapped %d, want %d and %d", info.Size, info.Resident+info.Swapped, page+1, 2*page)
	}
}

func TestTheUmaskDoesNotApply(t *testing.T) {
	// Not parallel: the umask belongs to the process.
	defer unix.Umask(unix.Umask(0o777))
	if perm := stats(t, create(t, Private, 1, 0o666)).Perm; perm != 0o666 {
		t.Errorf("mode %04o, want 0666", uint32(perm))
	}
}

func TestStatAndListAgree(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	s := create(t, key, 5000, 0o640)
	fresh := stats(t, s)
	if !fresh.AttachTime.IsZero() || !fresh.DetachTime.IsZero() || fresh.ChangeTime.IsZero() || fresh.LastPID != 0 {
		t.Errorf("never attached: %+v, want zero times and pid", fresh)
	}
	if err := s.Attach(); err != nil {
		t.Fatal(err)
	}
	got := stats(t, s)
	uid, gid := uint32(os.Geteuid()), uint32(os.Getegid())
	want := Info{
		ID: s.ID(), Key: key, Size: 5000, Perm: 0o640,
		UID: uid, GID: gid, CUID: uid, CGID: gid,
		Attached: 1, CreatorPID: os.Getpid(), LastPID: os.Getpid(),
		AttachTime: got.AttachTime, ChangeTime: got.ChangeTime,
	}
	if got != want || got.AttachTime.IsZero() {
		t.Errorf("Stat:\n got %+v\nwant %+v", got, want)
	}
	if entry := listed(t, s); entry != want {
		t.Errorf("List:\n got %+v\nwant %+v", entry, want)
	}
}

func TestSegmentsAreMappedUnderTheirKeyAndID(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	s := create(t, key, 1, 0o600)
	if err := s.Attach(); err != nil {
		t.Fatal(err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	// address perms offset dev inode path
	for line := range strings.Lines(string(maps)) {
		f := strings.Fields(line)
		if len(f) > 5 && f[4] == strconv.Itoa(s.ID()) && f[5] == fmt.Sprintf("/SYSV%08x", uint32(key)) {
			return
		}
	}
	t.Errorf("no line with inode %d and /SYSV%08x in\n%s", s.ID(), uint32(key), maps)
}

// A creator can make the victim the owner and keep all rights.
func TestASegmentGivenAwayIsNotOwned(t *testing.T) {
	t.Parallel()
	me := os.Geteuid()
	if mine := stats(t, create(t, Private, 1, 0o600)); !mine.OwnedBy(me) || mine.OwnedBy(me+1) {
		t.Errorf("%+v: OwnedBy is wrong for uid %d", mine, me)
	}
	for _, info := range []Info{
		{UID: uint32(me), CUID: uint32(me) + 1},
		{UID: uint32(me) + 1, CUID: uint32(me)},
	} {
		if info.OwnedBy(me) {
			t.Errorf("owner %d and creator %d taken for %d alone", info.UID, info.CUID, me)
		}
	}
	victim := uint32(me) + 1
	s := create(t, Private, 1, 0o600)
	desc := unix.SysvShmDesc{Perm: unix.SysvIpcPerm{Uid: victim, Gid: uint32(os.Getegid()), Mode: 0o600}}
	_, err := unix.SysvShmCtl(s.ID(), unix.IPC_SET, &desc)
	if errors.Is(err, unix.EINVAL) {
		t.Skipf("IPC_SET NOT TESTED: uid %d does not exist in this user namespace", victim)
	}
	if err != nil {
		t.Fatal(err)
	}
	if info := stats(t, s); info.UID != victim || info.OwnedBy(int(victim)) {
		t.Errorf("%+v: given to %d and taken for its own", info, victim)
	}
}

func TestReadAtAndWriteAtDoNotAllocate(t *testing.T) {
	// Not parallel: AllocsPerRun counts what all goroutines allocate.
	s := attached(t, 4096)
	p := make([]byte, 64)
	if n := testing.AllocsPerRun(1000, func() {
		_, _ = s.WriteAt(p, 100)
		_, _ = s.ReadAt(p, 100)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// BenchmarkAttach attaches and detaches: two changes of the process's address
// space.
func BenchmarkAttach(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			s := attached(b, size)
			if err := s.Detach(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := errors.Join(s.Attach(), s.Detach()); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.Attach(); err != nil { // for what attached does at the end
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkUse is what it costs to keep a segment from being detached for as long
// as one looks at a byte of it.
func BenchmarkUse(b *testing.B) {
	s := attached(b, 4096)
	sum := byte(0)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Use(func(mem []byte) error { sum += mem[0]; return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteAt(b *testing.B) {
	benchmark(b, func(s *Segment, p []byte) (int, error) { return s.WriteAt(p, 0) })
}

func BenchmarkReadAt(b *testing.B) {
	benchmark(b, func(s *Segment, p []byte) (int, error) { return s.ReadAt(p, 0) })
}

func benchmark(b *testing.B, call func(*Segment, []byte) (int, error)) {
	for _, size := range []int{64, 4096} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			s := attached(b, size)
			p := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := call(s, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
