package sysv

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// Headings and rows as 64 and 32 bit kernels print them.
const (
	header64 = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n"
	row64    = " 838926346         12   640                  4097  1001  1002      2  1000   100     0     0 1700000000          0 1600000000                  8192                     0\n"
	header32 = "       key      shmid perms       size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime        rss       swap\n"
	row32    = "         0      65537  3666       4097     0     0      0 4294967295 4294967295     0     0          0          0 1600000000          0       4096\n"
)

func TestParseListReadsBothFormats(t *testing.T) {
	t.Parallel()
	first := Info{
		ID: 12, Key: 838926346, Size: 4097, Perm: 0o640,
		UID: 1000, GID: 100, Attached: 2, CreatorPID: 1001, LastPID: 1002,
		AttachTime: time.Unix(1700000000, 0), ChangeTime: time.Unix(1600000000, 0),
		Resident: 8192,
	}
	second := Info{
		ID: 65537, Size: 4097, Perm: 0o666, UID: 4294967295, GID: 4294967295,
		ChangeTime: time.Unix(1600000000, 0), Swapped: 4096,
		Marked: true, Locked: true,
	}
	for _, test := range []struct {
		name, text string
		want       []Info
	}{
		{"no segments", header64, nil},
		{"64 bits", header64 + row64, []Info{first}},
		{"32 bits", header32 + row32, []Info{second}},
		{"two, in the order of the file", header64 + row32 + row64, []Info{second, first}},
		{"a negative key", header64 + strings.Replace(row64, " 838926346", "-838926346", 1), []Info{{
			ID: 12, Key: -838926346, Size: 4097, Perm: 0o640,
			UID: 1000, GID: 100, Attached: 2, CreatorPID: 1001, LastPID: 1002,
			AttachTime: time.Unix(1700000000, 0), ChangeTime: time.Unix(1600000000, 0),
			Resident: 8192,
		}}},
		{"a column this package does not know", "new " + header64 + "1 " + row64, []Info{first}},
	} {
		got, err := parseList(strings.NewReader(test.text))
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", test.name, got, err, test.want)
		}
	}
}

func TestParseListSaysWhichLineIsWrong(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, test := range []struct {
		name string
		text io.Reader
		want string
	}{
		{"nothing", strings.NewReader(""), "line 1: unexpected EOF"},
		{"no header", strings.NewReader(row64), `line 1: no column "key"`},
		{"a column is missing", strings.NewReader(strings.Replace(header64, "cuid", "", 1)), `line 1: no column "cuid"`},
		{"a number is missing", strings.NewReader(header64 + row64 + strings.Replace(row64, "640", "", 1)), "line 3: 15 fields under 16 column names"},
		{"a word for a number", strings.NewReader(header64 + strings.Replace(row64, "4097", "many", 1)), `line 2: size "many"`},
		{"mode not octal", strings.NewReader(header64 + strings.Replace(row64, "640", "648", 1)), `line 2: perms "648"`},
		{"negative size", strings.NewReader(header64 + strings.Replace(row64, " 4097", "-4097", 1)), `line 2: size "-4097"`},
		{"key of 33 bits", strings.NewReader(header64 + strings.Replace(row64, " 838926346", "4294967296", 1)), `line 2: key "4294967296"`},
		{"endless line", strings.NewReader(header64 + strings.Repeat("0", 1<<20)), "line 2: "},
		{"endless header", strings.NewReader(strings.Repeat("0", 1<<20)), "line 1: "},
		{"a read that fails", io.MultiReader(strings.NewReader(header64+row64), iotest.ErrReader(broken)), "line 3: broken"},
	} {
		list, err := parseList(test.text)
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: got %v, %v, want %s", test.name, list, err, test.want)
		}
	}
}

// FuzzParseList checks that what is understood is understood rightly: printed as
// the kernel would print it and parsed again, it is the same.
func FuzzParseList(f *testing.F) {
	for _, seed := range []string{
		"", header64, header64 + row64, header32 + row32, header64 + row32 + row64,
		row64, header64 + "\n", header64 + "x" + row64,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseList(strings.NewReader(text))
		if err != nil {
			if list != nil || !strings.HasPrefix(err.Error(), "line ") {
				t.Fatalf("got %v with error %v", list, err)
			}
			return
		}
		var b strings.Builder
		b.WriteString(header64)
		for _, i := range list {
			mode := uint32(i.Perm)
			if i.Marked {
				mode |= shmDest
			}
			if i.Locked {
				mode |= shmLocked
			}
			fmt.Fprintf(&b, "%10d %10d  %4o %21d %5d %5d  %5d %5d %5d %5d %5d %10d %10d %10d %21d %21d\n",
				i.Key, i.ID, mode, i.Size, i.CreatorPID, i.LastPID, i.Attached, i.UID, i.GID, i.CUID, i.CGID,
				seconds(i.AttachTime), seconds(i.DetachTime), seconds(i.ChangeTime), i.Resident, i.Swapped)
		}
		again, err := parseList(strings.NewReader(b.String()))
		if err != nil || !reflect.DeepEqual(again, list) {
			t.Fatalf("%q\nparsed as %+v,\nprinted and parsed again %+v, %v", text, list, again, err)
		}
	})
}

func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
