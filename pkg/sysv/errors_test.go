package sysv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// wantError checks that err is of the kind target and names all words.
func wantError(t *testing.T, err, target error, words ...any) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("got error %v, want %v", err, target)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), fmt.Sprint(word)) {
			t.Errorf("%q does not mention %q", err, fmt.Sprint(word))
		}
	}
}

func TestArgumentsThatMakeNoSenseNeverReachTheKernel(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		call func() (*Segment, error)
	}{
		{"size 0", func() (*Segment, error) { return Create(Private, 0, 0o600) }},
		{"negative size", func() (*Segment, error) { return Create(Private, -1, 0o600) }},
		{"mode with setuid", func() (*Segment, error) { return Create(Private, 1, fs.ModeSetuid|0o600) }},
		{"mode 01600", func() (*Segment, error) { return Create(Private, 1, 0o1600) }},
		{"open at least -1 bytes", func() (*Segment, error) { return Open(newKey(t), -1) }},
		{"open IPC_PRIVATE", func() (*Segment, error) { return Open(Private, 1) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := test.call()
			if s != nil {
				t.Fatal(s.Remove())
			}
			wantError(t, err, unix.EINVAL)
			var call *os.SyscallError
			if errors.As(err, &call) {
				t.Errorf("%v: the kernel was asked", err)
			}
		})
	}
}

func TestAKeyThatIsTakenSaysByWhat(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	s := create(t, key, 4096, 0o640)
	if err := s.Attach(); err != nil {
		t.Fatal(err)
	}
	_, err := Create(key, math.MaxInt, 0o600) // the size does not come into it
	wantError(t, err, unix.EEXIST, key, fmt.Sprintf("shmid %d,", s.ID()), "4096 bytes", "mode 0640",
		fmt.Sprintf("owner uid %d", os.Geteuid()), "1 attached", fmt.Sprintf("pid %d", os.Getpid()))
	wantError(t, err, fs.ErrExist)
}

func TestAMissingSegmentAsksForTheServer(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	_, err := Open(key, 0)
	wantError(t, err, unix.ENOENT, key, "server", "IPC namespace", "--ipc")
	wantError(t, err, fs.ErrNotExist)
}

func TestASegmentThatGoesDuringOpenIsMissing(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	ctx, cancel := context.WithCancel(t.Context())
	var server sync.WaitGroup
	server.Go(func() {
		for ctx.Err() == nil {
			s, err := Create(key, 1, 0o600)
			if err != nil {
				t.Error(err)
				return
			}
			_ = s.Remove()
		}
	})
	for range 20_000 { // of which some hundred meet the gap between its two calls
		if _, err := Open(key, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			t.Errorf("%v; want success or ENOENT", err)
			break
		}
	}
	cancel()
	server.Wait()
}

func TestAnIDTooLargeIsNotCutToAnothers(t *testing.T) {
	t.Parallel()
	id := int64(create(t, Private, 1, 0o600).ID()) + 1<<32
	if int64(int(id)) != id {
		t.Skip("an int has no more bits than an id")
	}
	_, err := OpenID(int(id))
	wantError(t, err, unix.EINVAL, id)
}

func TestASegmentTooSmallSaysHowBigItIs(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	s := create(t, key, 100, 0o600)
	for _, size := range []int{0, 1, 100} {
		if _, err := Open(key, size); err != nil {
			t.Errorf("%d bytes asked for, 100 there: %v", size, err)
		}
	}
	// 101 bytes would fit into the page.
	_, err := Open(key, 101)
	wantError(t, err, unix.EINVAL, "101 bytes asked for", "100 bytes", fmt.Sprintf("shmid %d,", s.ID()))
}

func TestARemovedSegmentIsGoneForEveryCall(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := create(t, Private, 100, 0o600)
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		_, err := s.Stat()
		wantError(t, err, unix.EINVAL, "stat segment", "no such segment")
		_, err = OpenID(s.ID())
		wantError(t, err, unix.EINVAL, "no such segment")
		wantError(t, s.Attach(), unix.EINVAL, "attach segment", "no such segment")
		wantError(t, s.Remove(), unix.EINVAL, "remove segment", "no such segment")
	}
	check()

	// New segments take the slots of the kernel's table in turn. One that gets
	// the slot of s differs in the sequence number.
	const slots = 1 << 15
	for range slots {
		other := create(t, Private, 200, 0o600)
		if other.ID()%slots == s.ID()%slots {
			check()
			return
		}
		if err := other.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	t.Error("the slot was not used again")
}

func TestAnIDThatCameRoundAgainIsNotMistakenForTheOldSegment(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := create(t, Private, 100, 0o600)
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/proc/sys/kernel/shm_next_id"); err != nil {
		t.Skip("NOT TESTED: the kernel has no CONFIG_CHECKPOINT_RESTORE to choose an id with")
	}
	sysctl(t, "shm_next_id", fmt.Sprint(s.ID()))
	other := create(t, Private, 200, 0o600)
	if other.ID() != s.ID() {
		t.Fatalf("got id %d, want %d again", other.ID(), s.ID())
	}
	wantError(t, s.Attach(), unix.EIDRM, "200 bytes instead of 100")
	if n := stats(t, other).Attached; n != 0 {
		t.Errorf("attached %d times, want 0", n)
	}
}

func TestTheModeIsExplainedToThoseItKeepsOut(t *testing.T) {
	t.Parallel()
	var keys [2]Key
	const closed, readable = 0, 1
	arg := os.Getenv(childEnv)
	if arg == "" {
		for i, perm := range []fs.FileMode{closed: 0, readable: 0o444} {
			keys[i] = newKey(t)
			create(t, keys[i], 8, perm)
		}
		runChild(t, child(t, fmt.Sprintf("%d %d", keys[closed], keys[readable])))
		return
	}
	if _, err := fmt.Sscan(arg, &keys[closed], &keys[readable]); err != nil {
		t.Fatal(err)
	}
	owner := fmt.Sprintf("owner uid %d", os.Getuid())
	dropRoot(t)

	_, err := Open(keys[closed], 0)
	wantError(t, err, unix.EACCES, keys[closed], "mode 0000", owner)
	wantError(t, err, fs.ErrPermission)
	list, err := List()
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range list {
		if info.Key == keys[closed] {
			_, err := OpenID(info.ID)
			wantError(t, err, unix.EACCES, "mode 0000", owner)
		}
	}

	s, err := Open(keys[readable], 8)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, s.Attach(), unix.EACCES, "mode 0444", owner)
	if err := s.AttachReadOnly(); err != nil {
		t.Error(err)
	}
	if os.Getuid() == int(stats(t, s).UID) {
		t.Log("removing another's segment NOT TESTED: not started by root")
		return
	}
	wantError(t, s.Remove(), unix.EPERM, owner)
}

func TestMoreMemoryThanThereIs(t *testing.T) {
	if !inNamespace(t) { // whose limits are out of the way
		return
	}
	if mode, err := os.ReadFile("/proc/sys/vm/overcommit_memory"); err != nil || mode[0] == '1' {
		t.Skipf("NOT TESTED: vm.overcommit_memory is %q (%v), the kernel promises anything", mode, err)
	}
	if strconv.IntSize == 32 {
		t.Skip("NOT TESTED: an int can ask for no more than 2 GiB")
	}
	s, err := Create(Private, math.MaxInt, 0o600)
	if s != nil {
		t.Fatal(s.Remove())
	}
	wantError(t, err, unix.ENOMEM, "memory")
}

func TestTheLimitThatWasHitIsNamed(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	page := os.Getpagesize()
	// What the kernel starts with is beyond what a test can fill.
	limits := map[string]string{"shmmax": "1000000000", "shmall": "1000000", "shmmni": "4096"}
	for _, test := range []struct {
		name, value string
		have        []int // sizes of segments there are
		fits        int   // size that can still be made
		size        int   // size that cannot
		err         error
		words       []any
	}{
		{
			name: "shmmax", value: "5000",
			fits: 5000, size: 5001,
			err: unix.EINVAL, words: []any{"SHMMAX", 5000},
		},
		{
			name: "shmmni", value: "3",
			have: []int{1, 1}, fits: 1, size: 1,
			err: unix.ENOSPC, words: []any{"SHMMNI", "is 3", "there are 3"},
		},
		{
			name: "shmall", value: "10", // a page and a byte take two
			have: []int{5 * page, page + 1}, fits: 2*page + 1, size: 1,
			err: unix.ENOSPC, words: []any{"SHMALL", "is 10", "10 are in use", "1 more"},
		},
		{
			name: "shmall", value: "10",
			fits: 10 * page, size: 10*page + 1,
			err: unix.ENOSPC, words: []any{"SHMALL", "is 10", "11 more"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name, value := range limits {
				sysctl(t, name, value)
			}
			sysctl(t, test.name, test.value)
			for _, size := range append(test.have, test.fits) {
				create(t, Private, size, 0o600)
			}
			s, err := Create(Private, test.size, 0o600)
			if s != nil {
				t.Fatal(s.Remove())
			}
			wantError(t, err, test.err, test.words...)
		})
	}
}
