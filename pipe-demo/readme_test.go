package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"example.com/ipcsuite/internal/explain"
)

// TestReadme runs the commands of the chapter, which stand behind "$ " in blocks
// fenced as console, and compares what they print with what the chapter says.
func TestReadme(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// TestMain sees by this name that pipe-demo is called.
	if err := os.Symlink(self, filepath.Join(bin, "pipe-demo")); err != nil {
		t.Fatal(err)
	}
	sessions := consoleSessions(string(text))
	if len(sessions) == 0 {
		t.Fatal("no commands in README.md")
	}
	self0 := explain.FD{PID: os.Getpid(), FD: 0}
	_, kcmpErr := explain.SameDescription(self0, self0)
	for _, s := range sessions {
		t.Run(s.command, func(t *testing.T) {
			t.Parallel()
			if kcmpErr != nil && strings.Contains(s.output, "kcmp") {
				t.Skipf("the chapter shows kcmp(2), which is forbidden here: %v", kcmpErr)
			}
			cmd := exec.Command("bash", "-c", s.command)
			cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "GORACE="+quickExit)
			out, err := cmd.Output()
			if got, want := masked(string(out)), masked(s.output); got != want {
				t.Errorf("it prints (error %v)\n%s\nwhich is, masked,\n%s\nand the chapter says\n%s", err, out, got, want)
			}
		})
	}
}

type consoleSession struct{ command, output string }

func consoleSessions(markdown string) []consoleSession {
	var sessions []consoleSession
	for _, block := range regexp.MustCompile("(?ms)^```console\n(.*?)^```$").FindAllStringSubmatch(markdown, -1) {
		for line := range strings.Lines(block[1]) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				sessions = append(sessions, consoleSession{command: strings.TrimSpace(command)})
				continue
			}
			last := len(sessions) - 1
			sessions[last].output += line
		}
	}
	return sessions
}

// masked makes alike what differs from one run or kernel to another, and what
// differs in where lines are broken.
func masked(output string) string {
	output = strings.Join(strings.Fields(output), " ")
	for _, m := range []struct{ pattern, with string }{
		{`\b(pid :|[Pp]rocess |reader |writer |thread |descriptor |inode )\d+`, "${1}N"},
		{`\binodes \d+, \d+`, "inodes N, N"},
		{`pipe:\[\d+\]`, "pipe:[N]"},
		{`device 0:\d+`, "device 0:N"},
		{`\b(anon_)?pipe_(read|write)\b`, "pipe_$2"}, // the kernel's names for them
		{`\d+ and \d+ pieces`, "N and N pieces"},
		{`\| \d{10} \|`, "| N |"},
		{`not delivered: [67] of 7`, "not delivered: N of 7"}, // exercise 1
	} {
		output = regexp.MustCompile(m.pattern).ReplaceAllString(output, m.with)
	}
	return output
}

func TestMaskedKeepsWhatMatters(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{"process 4243 has pipe:[1] open", "process 7 has pipe:[22] open", true},
		{"a long\nline", "a long line\n", true},
		{"65536 bytes went in", "65535 bytes went in", false},
		{"case 1: PASS", "case 1: FAIL", false},
		{"quit code : 0", "quit code : 1", false},
	} {
		if got := masked(test.a) == masked(test.b); got != test.same {
			t.Errorf("%q and %q: same %v, want %v", test.a, test.b, got, test.same)
		}
	}
}
