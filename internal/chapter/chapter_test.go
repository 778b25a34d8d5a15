package chapter

import (
	"reflect"
	"slices"
	"testing"
)

func TestSessionsAreTheCommandsOfConsoleBlocks(t *testing.T) {
	t.Parallel()
	got := Sessions("text\n```console\n$ one\na\n    b\n$ two\n> typed\nc\n```\n```go\n$ not\n```\n")
	want := []Session{
		{Command: "one", Output: []string{"a", "    b"}},
		{Command: "two", Typed: []string{"typed"}, Output: []string{"c"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMasksKeepWhatIsNotTheirs(t *testing.T) {
	t.Parallel()
	r := runner{masks: []Mask{{`process \d+`, "process N"}}}
	if r.masked([]string{"process 7: 65536 bytes"})[0] == r.masked([]string{"process 8: 65535 bytes"})[0] {
		t.Error("what no mask is for was masked")
	}
}

func TestMaskedJoinsLinesAndMasks(t *testing.T) {
	t.Parallel()
	r := runner{masks: []Mask{{`\d+`, "N"}}}
	got := r.masked([]string{"a 1", "", "long line", "    goes on  22", "  b", ""})
	if want := []string{"a N", "long line goes on N", "b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestServersAreCommandsThatStay(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]bool{
		"fifo-server":                      true,
		"fifo-server --explain 2>&1":       true,
		"shm-server --sync none 2>&1":      true,
		"shm-server 2>&1 | grep -o 'left'": true,
		"shm-server stat":                  false,
		"shm-server stat --id 4":           false,
		"fifo-server --help | head":        false,
		"shm-server stat | grep bytes":     false,
		"fifo-server & kill -9 $!":         false,
		"fifo-client hello":                false,
		"shm-server --size 0; echo \"$?\"": false,
	} {
		if got := servers.MatchString(command); got != want {
			t.Errorf("%q: %v, want %v", command, got, want)
		}
	}
}

func TestChapterOfItsOwn(t *testing.T) {
	t.Parallel()
	Run(t, "testdata/chapter.md", Mask{`\d+`, "N"})
}

func TestCommandsWithAServerOfTheirOwn(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]bool{
		"fifo-server & kill -9 $!":                        true,
		"shm-server 2>&1 | grep lost & seq 9 | cat; wait": true,
		"shm-server stat --id 4 2>&1 | grep segment":      false,
		"fifo-client hello & wait":                        false,
	} {
		if got := ownServer.MatchString(command); got != want {
			t.Errorf("%q: %v, want %v", command, got, want)
		}
	}
}
