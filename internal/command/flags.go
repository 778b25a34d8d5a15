package command

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// flags returns a command's own flags and those that every command has, each
// with its environment variable if that is wanted.
func flags(own func() []cli.Flag, environment bool) []cli.Flag {
	all := []cli.Flag{
		&cli.StringFlag{
			Name: "log-format", Value: formatText,
			Usage: "how logs look on stderr: `text|json`",
		},
		&cli.StringFlag{
			Name: "log-level", Value: levelNotice.String(),
			Usage: "the least that is logged: `debug|notice|warn|error`",
		},
		&cli.StringFlag{
			Name:  "completion",
			Usage: "print completions for a shell, `bash|zsh|fish`, and exit",
		},
	}
	if own != nil {
		all = append(own(), all...)
	}
	if environment {
		for _, flag := range all {
			setEnvVar(flag)
		}
	}
	return all
}

// envVar is the environment variable of a flag: IPC_PIPE_SIZE of pipe-size.
func envVar(flag string) string {
	return "IPC_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func setEnvVar(flag cli.Flag) {
	name := flag.Names()[0]
	env := []string{envVar(name)}
	switch f := flag.(type) {
	case *cli.StringFlag:
		f.EnvVars = env
	case *cli.BoolFlag:
		f.EnvVars = env
	case *cli.IntFlag:
		f.EnvVars = env
	case *cli.DurationFlag:
		f.EnvVars = env
	case *cli.StringSliceFlag:
		f.EnvVars = env
	case *cli.IntSliceFlag:
		f.EnvVars = env
	case *cli.GenericFlag:
		f.EnvVars = env
	default:
		panic(fmt.Sprintf("flag --%s is a %T, which setEnvVar does not know", name, flag))
	}
}

// Messages returns the arguments that a client sends. The cli package takes
// everything behind the first argument for another one, so that a flag put
// there would be sent instead of obeyed: it is refused, unless the user has
// ended the flags with "--".
func Messages(c *cli.Context, argv []string) ([]string, error) {
	args := c.Args().Slice()
	for i, arg := range args {
		if strings.Contains(arg, "\n") {
			return nil, UsageErrorf("argument %d holds a newline, and a message is one line: send it on stdin, as several", i+1)
		}
		if len(arg) > 1 && arg[0] == '-' && !endsFlags(argv, args) {
			return nil, UsageErrorf("argument %q: flags come before the messages; to send it, put -- before the first message", arg)
		}
	}
	return args, nil
}

// endsFlags reports whether "--" stands before args at the end of argv.
func endsFlags(argv, args []string) bool {
	i := len(argv) - len(args) - 1
	return i >= 0 && argv[i] == "--"
}

// ExplainFlag is --explain, of every command that does more than look.
func ExplainFlag() cli.Flag {
	return &cli.BoolFlag{Name: "explain", Usage: "print what the kernel shows of each step, on stderr"}
}

// ModeFlag is --mode, the permissions of what.
func ModeFlag(what string) cli.Flag {
	return &cli.StringFlag{Name: "mode", Value: "0600", Usage: "permissions of " + what + ", `octal`, whatever the umask"}
}

// Mode returns what --mode says.
func Mode(c *cli.Context) (fs.FileMode, error) {
	mode, err := strconv.ParseUint(c.String("mode"), 8, 32)
	if err != nil || mode == 0 || mode > uint64(fs.ModePerm) {
		return 0, UsageErrorf("--mode %s: want permissions in octal, 0001 to 0777, such as 0660", c.String("mode"))
	}
	return fs.FileMode(mode), nil
}
