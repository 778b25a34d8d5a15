package fork

import (
	"strings"
	"testing"
)

// FuzzTitle takes any argv[0]: whoever starts the program chooses it.
func FuzzTitle(f *testing.F) {
	for _, seed := range []string{
		"", "prog", "prog fork:12:reader", "a b fork:1:", " fork:-1:x:y", "prog fork:x:reader",
		"prog fork:99999999999999999999:reader", "prog fork: fork:1:r",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, argv0 string) {
		child, ok := parseTitle(argv0)
		if !ok {
			return
		}
		if strings.Contains(child.program, " fork:") {
			t.Errorf("%q is the title of program %q", argv0, child.program)
		}
		if again, ok := parseTitle(child.String()); again != child || !ok {
			t.Errorf("%+v is read as %+v, %v", child, again, ok)
		}
	})
}
