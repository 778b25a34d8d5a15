package finding

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// seeing returns an experiment in which that is seen.
func seeing(s Sight) func(context.Context) (Sight, error) {
	return func(context.Context) (Sight, error) { return s, nil }
}

// fish is a series of which one experiment does not hold.
func fish(out *strings.Builder, asJSON bool) Series {
	return Series{Kind: "fact", Out: out, JSON: asJSON, All: []Experiment{
		{
			Name: "water", Did: "A fish was asked <&>", Expected: "wet", Why: "it is in it",
			See: seeing(Sight{Seen: "dry", Unseen: []string{"the shore: forbidden"}, Moves: []int{7}}),
		},
		{Name: "2", See: seeing(Sight{Seen: "dry", Holds: true})},
	}}
}

func TestFindingsAreReportedOnLines(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := fish(&out, false).Run(t.Context(), nil)
	if want := "not seen as expected: fact water: what was seen instead is on stdout"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	const want = "fact water: FAIL  A fish was asked <&>. Expected: wet. Seen: dry. Why: it is in it. Not shown here: the shore: forbidden.\n" +
		"fact 2: PASS  . Expected: . Seen: dry. Why: .\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

func TestFindingsAreReportedAsJSON(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := fish(&out, true).Run(t.Context(), nil); err == nil {
		t.Error("no error")
	}
	const want = `{"fact":"water","pass":false,"did":"A fish was asked <&>","expected":"wet","seen":"dry","why":"it is in it","unseen":["the shore: forbidden"],"moves":[7]}
{"fact":2,"pass":true,"did":"","expected":"","seen":"dry","why":""}
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
	for line := range strings.Lines(out.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

func TestExperimentsAreMadeByName(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := fish(&out, false).Run(t.Context(), []string{"2"}); err != nil || !strings.HasPrefix(out.String(), "fact 2: PASS") {
		t.Errorf("error %v, printed %q", err, &out)
	}
	for name, want := range map[string]string{
		"bird":   `fact "bird": want any of water, 2, or none for all`,
		"--json": `argument "--json": flags come before the names`,
	} {
		var out strings.Builder
		if err := fish(&out, false).Run(t.Context(), []string{"2", name}); err == nil || err.Error() != want || out.Len() > 0 {
			t.Errorf("error %v, want %s; printed %q", err, want, &out)
		}
	}
}

func TestAnErrorEndsASeries(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	over := errors.New("over")
	s := fish(&out, false)
	s.All[0].See = func(context.Context) (Sight, error) { return Sight{Holds: true}, over }
	if err := s.Run(t.Context(), nil); !errors.Is(err, over) || out.Len() > 0 {
		t.Errorf("error %v, printed %q", err, &out)
	}
}

func TestLinesAreFoldedBetweenWords(t *testing.T) {
	t.Parallel()
	const line = "case 1: PASS  What was done here. Expected: nothing. Seen: …"
	for width, want := range map[int]string{
		0:   line,
		100: line,
		40:  "case 1: PASS  What was done here.\n    Expected: nothing. Seen: …",
	} {
		if got := fold(line, width); got != want {
			t.Errorf("%d columns: got %q, want %q", width, got, want)
		}
	}
}
