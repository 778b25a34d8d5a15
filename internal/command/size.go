package command

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// SizeFlag is a flag that holds a number of bytes, for [Size] to read. The default 0 is
// shown as zero.
func SizeFlag(name string, value int, zero, usage string) cli.Flag {
	f := &cli.GenericFlag{Name: name, Value: (*size)(&value), Usage: usage}
	if value == 0 {
		f.DefaultText = zero
	}
	return f
}

// Size returns the bytes that a [SizeFlag] holds. If it is given, a number below least is
// wrong usage.
func Size(c *cli.Context, name string, least int) (int, error) {
	n := int(*c.Generic(name).(*size))
	if c.IsSet(name) && n < least {
		return 0, UsageErrorf("--%s %d: want a number of bytes, at least %d, such as 4096, 64k or 1M", name, n, least)
	}
	return n, nil
}

// size is a [cli.Generic], and a [flag.Getter] for inherit.
type size int

func (s *size) Set(text string) (err error) {
	n, err := ParseSize(text)
	*s = size(n)
	return err
}

func (s *size) String() string { return strconv.Itoa(int(*s)) }

func (s *size) Get() any { return int(*s) }

// units are powers of 1024, as everywhere in the suite.
var units = map[string]int64{
	"":  1,
	"b": 1,
	"k": 1 << 10, "kb": 1 << 10, "kib": 1 << 10,
	"m": 1 << 20, "mb": 1 << 20, "mib": 1 << 20,
	"g": 1 << 30, "gb": 1 << 30, "gib": 1 << 30,
}

// ParseSize reads a number of bytes: 64, 4k, 1M, 1MiB; or without a unit 0x1000.
func ParseSize(text string) (int, error) {
	digits := strings.TrimRight(text, "kKmMgGiIbB")
	unit, base := strings.ToLower(text[len(digits):]), 10
	if hex, ok := strings.CutPrefix(strings.ToLower(text), "0x"); ok {
		digits, unit, base = hex, "", 16
	}
	factor, known := units[unit]
	n, err := strconv.ParseInt(digits, base, 64)
	if err != nil || !known || n > math.MaxInt/factor || n < math.MinInt/factor {
		return 0, fmt.Errorf("%q is no number of bytes, such as 64, 4k or 1M", text)
	}
	return int(n * factor), nil
}
