package contract

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

// FuzzNumber takes any text for a numbered message.
func FuzzNumber(f *testing.F) {
	for _, seed := range []string{"", "#", "#1 a #1", "#1  #1", "#007 bond #007", "#+1 x #+1", "#18446744073709551615 x #18446744073709551615", "#1 a #2", "#1"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		n, body, numbered, whole := Number(text)
		switch {
		case whole && !numbered:
			t.Errorf("%q is whole and not numbered", text)
		case !numbered && n != 0, !whole && body != nil:
			t.Errorf("%q: number %d, body %q", text, n, body)
		case whole:
			mark, _, _ := bytes.Cut(text, []byte(" "))
			if again := slices.Concat(mark, []byte(" "), body, []byte(" "), mark); !bytes.Equal(again, text) {
				t.Errorf("%q is put together again as %q", text, again)
			}
		}
		// Any text can be numbered, and is torn with another number at its end.
		made := Numbered(len(text), text)
		if n, body, numbered, whole := Number(made); n != uint64(len(text)) || !bytes.Equal(body, text) || !numbered || !whole {
			t.Errorf("%q is read as number %d, body %q, %v, %v", made, n, body, numbered, whole)
		}
		if _, _, numbered, whole := Number(fmt.Appendf(nil, "#%d %s #%d", len(text), text, len(text)+1)); !numbered || whole {
			t.Errorf("two numbers: %v, %v", numbered, whole)
		}
	})
}
