package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// FuzzArguments gives a command with flags of every kind any arguments and any
// environment: it runs its action or says what is wrong, and a message is sent
// as it was given, or not at all.
func FuzzArguments(f *testing.F) {
	for _, seed := range [][2]string{
		{"", ""},
		{"--text\x00a\x00run\x00--count\x003", ""},
		{"run\x00--\x00--a\x00-b", "7"},
		{"--mode\x000660\x00hello", "yes"},
		{"--ids\x001,2\x00--names=a,b\x00other", "1s"},
		{"--text", "\xff"},
		{"a\x00--generate-bash-completion", ""},
		{"--generate-bash-completion", "1"}, // no duration: was a crash
		{"--completion\x00fish", ""},
		{"-h", "-1"},
		{"-h\x00-", ""}, // was no wrong usage
		{"--\x00\n", ""},
	} {
		f.Add(seed[0], seed[1])
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		f.Fatal(err)
	}
	env := &Env{Stdin: null, Stdout: null, Stderr: null, Log: newLog(context.Background(), null, formatText, levelNotice)}
	f.Fuzz(func(t *testing.T, line, value string) {
		if strings.Contains(value, "\x00") {
			return // an environment cannot have it
		}
		for _, name := range []string{"IPC_TEXT", "IPC_COUNT", "IPC_TIME", "IPC_LONG", "IPC_IDS", "IPC_NAMES", "IPC_MODE", "IPC_LOG_LEVEL"} {
			t.Setenv(name, value)
		}
		argv := []string{"cmd"}
		if line != "" {
			argv = append(argv, strings.Split(line, "\x00")...)
		}
		action := func(_ context.Context, _ *Env, c *cli.Context) error {
			if _, err := Mode(c); err != nil {
				return err
			}
			messages, err := Messages(c, argv)
			if err != nil {
				return err
			}
			if !slices.Equal(messages, argv[len(argv)-len(messages):]) {
				t.Errorf("%q sends %q", argv, messages)
			}
			if slices.ContainsFunc(messages, func(m string) bool { return strings.Contains(m, "\n") }) {
				t.Errorf("%q sends a newline", argv)
			}
			return nil
		}
		err := execute(t.Context(), Spec{
			Name: "cmd",
			Flags: func() []cli.Flag {
				return []cli.Flag{
					&cli.StringFlag{Name: "text"}, &cli.IntFlag{Name: "count"}, &cli.DurationFlag{Name: "time"},
					&cli.BoolFlag{Name: "long"}, &cli.IntSliceFlag{Name: "ids"}, &cli.StringSliceFlag{Name: "names"},
					ModeFlag("it"),
				}
			},
			ArgsUsage: "[MESSAGE ...]",
			Action:    action,
			Commands:  []Sub{{Name: "run", Default: true, ArgsUsage: "[MESSAGE ...]", Action: action}, {Name: "other", Action: action}},
		}, env, argv)
		var usage usageError
		if err != nil && !errors.As(err, &usage) {
			t.Errorf("%q with %q in the environment: %v (%T), which is no usage error", argv, value, err, err)
		}
	})
}

// FuzzMode takes what strconv takes for octal, as long as it is permissions.
func FuzzMode(f *testing.F) {
	for _, seed := range []string{"0600", "777", "0", "1000", "0o600", "-1", "+7", "", "0660 ", "6_0", "37777777777"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set := flag.NewFlagSet("", flag.ContinueOnError)
		set.String("mode", text, "")
		mode, err := Mode(cli.NewContext(nil, set, nil))
		if err != nil {
			return
		}
		if mode == 0 || mode != mode&fs.ModePerm {
			t.Errorf("--mode %q is %v", text, mode)
		}
		if digits := strings.TrimLeft(text, "0"); digits != fmt.Sprintf("%o", mode) {
			t.Errorf("--mode %q is %04o", text, mode)
		}
	})
}
