package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

// No test runs beside another: the cli package keeps its help and version flags
// in global variables, and a signal reaches the whole process.

// streams returns an Env on files, and a function that returns what was
// written to its stdout and stderr.
func streams(t *testing.T) (*Env, func() (stdout, stderr string)) {
	t.Helper()
	file := func() *os.File {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	content := func(f *os.File) string {
		var b bytes.Buffer
		if _, err := io.Copy(&b, io.NewSectionReader(f, 0, 1<<20)); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	env := &Env{Stdin: os.Stdin, Stdout: file(), Stderr: file()}
	env.Log = newLog(t.Context(), env.Stderr, formatText, levelNotice)
	return env, func() (string, string) { return content(env.Stdout), content(env.Stderr) }
}

// run runs a command with a flag of each kind, and returns what its action saw.
func run(t *testing.T, args ...string) (seen string, err error) {
	t.Helper()
	action := func(_ context.Context, _ *Env, c *cli.Context) error {
		seen = strings.Join([]string{
			c.Command.Name, c.String("text"), c.Duration("time").String(), strings.Join(c.Args().Slice(), ","),
		}, " ")
		return nil
	}
	env, _ := streams(t)
	argv := append([]string{"cmd"}, args...)
	err = execute(t.Context(), Spec{
		Name: "cmd",
		Flags: func() []cli.Flag {
			return []cli.Flag{&cli.StringFlag{Name: "text", Value: "none"}, &cli.DurationFlag{Name: "time"}}
		},
		ArgsUsage: "[ARG]",
		Action:    action,
		Commands: []Sub{
			{Name: "run", Default: true, Action: action},
			{Name: "other", Action: action},
		},
	}, env, argv)
	return seen, err
}

func TestFlagsStandBeforeOrBehindTheDefaultCommand(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		env  string
		want string
	}{
		{"without a command", []string{"--text", "a"}, "", "cmd a 0s "},
		{"behind it", []string{"run", "--text", "a"}, "", "run a 0s "},
		{"before it", []string{"--text", "a", "--time", "1s", "run"}, "", "run a 1s "},
		{"the one behind wins", []string{"--text", "a", "run", "--text", "b"}, "", "run b 0s "},
		{"from the environment", []string{"run"}, "env", "run env 0s "},
		{"a flag wins over the environment, also from before", []string{"--text", "a", "run"}, "env", "run a 0s "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.env != "" {
				t.Setenv("IPC_TEXT", tc.env)
			}
			got, err := run(t, tc.args...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWrongUsage(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
	}{
		{"unknown flag", []string{"--bogus"}},
		{"unknown flag of a command", []string{"run", "--bogus"}},
		{"value that does not parse", []string{"--time", "soon"}},
		{"argument of a command that takes none", []string{"run", "arg"}},
		{"flag of the binary before a command that does not have it", []string{"--text", "a", "other"}},
		{"unknown log level", []string{"--log-level", "loud"}},
		{"unknown log format", []string{"run", "--log-format", "xml"}},
		{"help about no command", []string{"--help", "bogus"}},
		{"unknown shell", []string{"--completion", "csh"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			seen, err := run(t, tc.args...)
			var usage usageError
			if !errors.As(err, &usage) || seen != "" {
				t.Errorf("got error %v, and the action saw %q", err, seen)
			}
		})
	}
}

// The scripts run in their shells, and ask a command that says what it was asked.
func TestCompletionAsksAboutFlagsAndNeverBehindThem(t *testing.T) {
	const bash = `source ./script; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _complete_cmd; echo "${COMPREPLY[@]}"`
	const zsh = `compdef() {}; _files() {}; _describe() { print -r -- $choices; }
		source ./script; words=("$@"); CURRENT=$#; _complete_cmd`
	for shell, args := range map[string][]string{"bash": {"-c", bash, "bash"}, "zsh": {"-fc", zsh, "zsh"}} {
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Log(err)
			continue
		}
		dir := t.TempDir()
		script, err := os.Create(filepath.Join(dir, "script"))
		if err != nil {
			t.Fatal(err)
		}
		if err := writeCompletion(script, &cli.App{Name: "cmd"}, shell); err != nil {
			t.Fatal(err)
		}
		if err := script.Close(); err != nil {
			t.Fatal(err)
		}
		asked := filepath.Join(dir, "asked")
		cmd := "#!/bin/sh\necho \"$*\" >>asked\necho --text\n"
		if err := os.WriteFile(filepath.Join(dir, "cmd"), []byte(cmd), 0o700); err != nil { //nolint:gosec // it is run
			t.Fatal(err)
		}
		for _, tc := range []struct {
			words []string
			asked string // "" if not
		}{
			{[]string{"./cmd", ""}, "--generate-bash-completion"},
			{[]string{"./cmd", "run", "--t"}, "run --t --generate-bash-completion"},
			{[]string{"./cmd", "--"}, "- --generate-bash-completion"},
			{[]string{"./cmd", "--", ""}, ""},
			{[]string{"./cmd", "--text", "a", "--", "-x", "--"}, ""},
		} {
			_ = os.Remove(asked)
			c := exec.CommandContext(t.Context(), path, append(args, tc.words...)...)
			c.Dir = dir
			out, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("%s, %q: %v: %s", shell, tc.words, err, out)
			}
			got, _ := os.ReadFile(asked)
			if strings.TrimSpace(string(got)) != tc.asked {
				t.Errorf("%s asks about %q with %q, want %q", shell, tc.words, got, tc.asked)
			}
			if (tc.asked != "") != strings.Contains(string(out), "--text") {
				t.Errorf("%s completes %q to %q", shell, tc.words, out)
			}
		}
	}
}

func TestMessages(t *testing.T) {
	for _, tc := range []struct {
		name string
		argv []string
		want []string // nil: refused
	}{
		{"words", []string{"a", "b c", ""}, []string{"a", "b c", ""}},
		{"a dash alone", []string{"-"}, []string{"-"}},
		{"a flag behind a message", []string{"a", "--text", "b"}, nil},
		{"what looks like a flag behind --", []string{"--text", "x", "--", "--a", "-b"}, []string{"--a", "-b"}},
		{"-- behind a message is one more, and ends nothing", []string{"a", "--", "--b"}, nil},
		{"a newline", []string{"a\nb"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			env, _ := streams(t)
			argv := append([]string{"cmd"}, tc.argv...)
			err := execute(t.Context(), Spec{
				Name:      "cmd",
				ArgsUsage: "[MESSAGE ...]",
				Flags:     func() []cli.Flag { return []cli.Flag{&cli.StringFlag{Name: "text"}} },
				Action: func(_ context.Context, _ *Env, c *cli.Context) (err error) {
					got, err = Messages(c, argv)
					return err
				},
			}, env, argv)
			if (err == nil) != (tc.want != nil) {
				t.Fatalf("got error %v", err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestReportTurnsErrorsIntoExitCodesAndOneLine(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		code int
		line string
	}{
		{"done", nil, 0, ""},
		{"failed", errors.New("no luck"), 1, "Error | no luck"},
		{"wrong usage", UsageErrorf("what?"), 2, "Error | what?: see cmd --help"},
		{"SIGINT", SignalError{syscall.SIGINT}, 130, "Notice | ended by signal SIGINT"},
		{"SIGTERM", SignalError{syscall.SIGTERM}, 143, "Notice | ended by signal SIGTERM"},
		{"SIGHUP", SignalError{syscall.SIGHUP}, 129, "Notice | ended by signal SIGHUP"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			env, written := streams(t)
			if code := report(env.Log, "cmd", tc.err); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			_, stderr := written()
			want := "^$"
			if tc.line != "" {
				want = `^ \| \d+ \| ` + regexp.QuoteMeta(tc.line) + "\n$"
			}
			if !regexp.MustCompile(want).MatchString(stderr) {
				t.Errorf("stderr is %q, want %s", stderr, want)
			}
		})
	}
}

func TestLogAsText(t *testing.T) {
	env, written := streams(t)
	env.Log.Debug().Msg("not at this level")
	env.Log.Notice().Str("path", "/a b").Int("n", 7).Msg("created FIFO")
	env.Log.Warn().Msg("careful")
	_, got := written()
	want := `^ \| \d+ \| Notice \| created FIFO n=7 path="/a b"
 \| \d+ \| Warning \| careful
$`
	if !regexp.MustCompile(want).MatchString(got) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestLogAsJSON(t *testing.T) {
	env, written := streams(t)
	before := time.Now().Unix()
	newLog(t.Context(), env.Stderr, formatJSON, levelDebug).Notice().Int("n", 7).Msg("created FIFO")
	_, got := written()
	var line struct {
		Level, Message string
		Time           int64
		N              int
	}
	if err := json.Unmarshal([]byte(got), &line); err != nil {
		t.Fatal(err)
	}
	if line.Level != "notice" || line.Message != "created FIFO" || line.N != 7 || line.Time < before {
		t.Errorf("got %s", got)
	}
}

func TestErrorsBeforeTheFlagsAreReadHaveTheFormatAskedFor(t *testing.T) {
	for _, tc := range []struct {
		name, env string
		args      []string
		want      string
	}{
		{"nothing asked for", "", []string{"--bogus"}, formatText},
		{"a flag", "", []string{"run", "--bogus", "--log-format", "json"}, formatJSON},
		{"a flag with its value", "", []string{"-log-format=json", "--bogus"}, formatJSON},
		{"the last wins", "", []string{"--log-format=json", "run", "--log-format", "text"}, formatText},
		{"a flag without a value", "", []string{"--log-format"}, formatText},
		{"the environment", "json", []string{"--bogus"}, formatJSON},
		{"a flag wins over it", "json", []string{"--log-format", "text", "--bogus"}, formatText},
		{"an unknown one", "xml", nil, formatText},
		{"a message is no flag", "", []string{"--", "--log-format", "json"}, formatText},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("IPC_LOG_FORMAT", tc.env)
			if got := formatOf(append([]string{"cmd"}, tc.args...)); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// A line that waits for a reader of stderr does not keep the process from cleaning up
// when it is told to end; nor does the next.
func TestLogWaitsForStderrUntilTheEnd(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close() // first: it ends the write that is left
	capacity, err := unix.FcntlInt(w.Fd(), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		t.Fatal(err)
	}
	full := bytes.Repeat([]byte{'x'}, capacity)
	if _, err := w.Write(full); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	log := newLog(ctx, w, formatText, levelNotice)
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		log.Notice().Msg("before the end")
	}()
	if _, err := io.ReadFull(r, full); err != nil { // now there is room
		t.Fatal(err)
	}
	<-logged
	text := make([]byte, 100)
	if n, err := r.Read(text); !strings.HasSuffix(string(text[:n]), "| before the end\n") {
		t.Errorf("logged %q, %v", text[:n], err)
	}
	if _, err := w.Write(full); err != nil {
		t.Fatal(err)
	}
	cancel()
	log.Notice().Msg("nobody reads this")
	log.Notice().Msg("nor this")
	fmt.Fprintln(log.Lines(), "nor what --explain shows")
}

func TestSignalsCancelTheContextAndAreItsCause(t *testing.T) {
	all := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}
	for _, sig := range all {
		ctx, stop := signalContext(t.Context())
		if err := syscall.Kill(os.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
		if got := context.Cause(ctx); !errors.Is(got, SignalError{sig}) {
			t.Errorf("cause %v, want signal %v", got, sig)
		}
		stop()
	}
	for _, sig := range all { // on the way out they do not end the process
		if err := syscall.Kill(os.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLimitsAreExplained(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{unix.EMFILE, "ulimit -n (RLIMIT_NOFILE)"},
		{unix.ENFILE, "sysctl fs.file-max"},
		{unix.EACCES, ""},
	} {
		env, output := streams(t)
		if code := report(env.Log, "cmd", fmt.Errorf("open it: %w", tt.err)); code != 1 {
			t.Errorf("%v: exit code %d, want 1", tt.err, code)
		}
		_, stderr := output()
		if !strings.Contains(stderr, "open it: "+tt.err.Error()) || !strings.Contains(stderr, tt.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: %q is not one line with %q", tt.err, stderr, tt.want)
		}
	}
}
