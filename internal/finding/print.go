package finding

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// print reports an experiment in one write: for people as
//
//	case 1: PASS  What was done. Expected: … Seen: … Why: …
//
// and on a terminal broken between words.
func (s Series) print(e Experiment, seen Sight) error {
	if s.JSON {
		return s.printJSON(e, seen)
	}
	verdict := "PASS"
	if !seen.Holds {
		verdict = "FAIL"
	}
	line := fmt.Sprintf("%s %s: %s  %s. Expected: %s. Seen: %s. Why: %s.", s.Kind, e.Name, verdict, e.Did, e.Expected, seen.Seen, e.Why)
	if len(seen.Unseen) > 0 {
		line += " Not shown here: " + strings.Join(seen.Unseen, "; ") + "."
	}
	_, err := fmt.Fprintln(s.Out, fold(line, columns(s.Out)))
	return err
}

// printJSON puts the name behind its kind, {"case":1,…}, and first.
func (s Series) printJSON(e Experiment, seen Sight) error {
	var name any = e.Name
	if n, err := strconv.Atoi(e.Name); err == nil {
		name = n
	}
	head, err := marshal(map[string]any{s.Kind: name})
	if err != nil {
		return err
	}
	rest, err := marshal(struct {
		Pass     bool     `json:"pass"`
		Did      string   `json:"did"`
		Expected string   `json:"expected"`
		Seen     string   `json:"seen"`
		Why      string   `json:"why"`
		Unseen   []string `json:"unseen,omitempty"`
		Moves    any      `json:"moves,omitempty"`
	}{seen.Holds, e.Did, e.Expected, seen.Seen, e.Why, seen.Unseen, seen.Moves})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "%s,%s\n", bytes.TrimSuffix(head, []byte{'}'}), bytes.TrimPrefix(rest, []byte{'{'}))
	return err
}

// marshal is json.Marshal that leaves <, > and & as they are.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

// columns returns the width of the terminal that out is, and 0 if it is none.
func columns(out io.Writer) int {
	file, ok := out.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}

// fold breaks a line between words, as a terminal would not, and indents the rest.
func fold(line string, width int) string {
	const indent = "    "
	if width < 40 { // no terminal, one that does not know, or one that is too narrow
		return line
	}
	var folded strings.Builder
	column := 0
	for i, word := range strings.Split(line, " ") {
		length := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+length > width:
			folded.WriteString("\n" + indent)
			column = len(indent)
		default:
			folded.WriteByte(' ')
			column++
		}
		folded.WriteString(word)
		column += length
	}
	return folded.String()
}
