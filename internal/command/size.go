package command

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// SizeFlag is a flag that holds a number of bytes, for [Size] to read. value is its
// default, "" for any size.
func SizeFlag(name, value, usage string) cli.Flag {
	return &cli.StringFlag{Name: name, Value: value, DefaultText: cmp.Or(value, "any"), Usage: usage}
}

// Size returns the bytes that a [SizeFlag] holds, 0 if it is empty. A number below least
// is wrong usage.
func Size(c *cli.Context, name string, least int) (int, error) {
	text := c.String(name)
	if text == "" {
		return 0, nil
	}
	size, err := ParseSize(text)
	if err != nil || size < least {
		return 0, UsageErrorf("--%s %s: want a number of bytes, at least %d, such as 4096, 64k or 1M", name, text, least)
	}
	return size, nil
}

// units are powers of 1024, as everywhere in the suite.
var units = map[string]int64{
	"b": 1,
	"k": 1 << 10, "kb": 1 << 10, "kib": 1 << 10,
	"m": 1 << 20, "mb": 1 << 20, "mib": 1 << 20,
	"g": 1 << 30, "gb": 1 << 30, "gib": 1 << 30,
}

// ParseSize reads a number of bytes: 64, 4k, 1M, 1MiB.
func ParseSize(text string) (int, error) {
	unit := int64(1)
	n, err := strconv.ParseInt(text, 0, 64)
	if err != nil {
		digits := strings.TrimRight(text, "kKmMgGiIbB")
		unit = units[strings.ToLower(text[len(digits):])]
		n, err = strconv.ParseInt(digits, 10, 64)
	}
	if err != nil || unit == 0 || n > math.MaxInt/unit || n < math.MinInt/unit {
		return 0, fmt.Errorf("%q is no number of bytes, such as 64, 4k or 1M", text)
	}
	return int(n * unit), nil
}
