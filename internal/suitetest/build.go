// Package suitetest runs the suite's binaries in tests, as users run them.
//
//   - [Main] builds them, or with [MainAs] the test binary is them (build.go).
//   - [Start] starts one, and a [Process] is talked to through its stdin, stdout and
//     stderr (process.go, output.go).
//   - [Dir] is a folder in which server and client meet, and [Clean] checks that they
//     have left nothing (clean.go).
//   - [Scripts] runs the scripts in testdata/script (script.go).
//   - What a process is doing, /proc tells: [SleepsIn], [Stopped] (state.go).
//
// No test here waits for a time to pass. A wait is for an event, and fails after
// [Limit].
package suitetest

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// Limit is how long a test waits for what must happen, so that a fault shows as a
// failure and not as a test that hangs.
const Limit = 30 * time.Second

// Main is for TestMain: it builds the binaries, puts them first in PATH, runs the tests
// of m and returns the exit code. Where the tests have the race detector, the binaries
// have it too, and a race that it finds in any process fails the tests.
func Main(m *testing.M, binaries ...string) int {
	if hasRaceDetector() {
		return run(m, []string{"-race"}, nil, binaries)
	}
	return run(m, nil, nil, binaries)
}

// MainStatic is [Main] with binaries that need no other file, so that they also run in
// a root directory of their own. They never have the race detector.
func MainStatic(m *testing.M, binaries ...string) int {
	return run(m, nil, []string{"CGO_ENABLED=0"}, binaries)
}

func run(m *testing.M, flags, env, binaries []string) int {
	syscall.Umask(0o022) // some tests are other users, who run the binaries too
	bin, err := os.MkdirTemp("", "suitetest-bin-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(bin)
	if err := os.Chmod(bin, 0o755); err != nil {
		panic(err)
	}
	build := exec.Command("go", append([]string{"build", "-o", bin}, flags...)...)
	for _, name := range binaries {
		build.Args = append(build.Args, "example.com/ipcsuite/"+name)
	}
	build.Env = append(os.Environ(), env...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v: %v\n%s", build, err, out)
		return 1
	}
	os.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return tests{m}.Run()
}

// MainAs is for TestMain where commands need what only the tests have. Under the name of
// a command, which is found in PATH, the test binary is that command. Otherwise it runs
// the tests of m. MainAs does not return.
func MainAs(m *testing.M, commands map[string]func()) {
	testscript.Main(tests{m}, commands)
}

// tests runs those of m in a clean environment. A command keeps the environment that its
// test gives it: for a command testscript.Main does not call Run.
type tests struct{ *testing.M }

// Run fails if the race detector has found a race in any process. Each race is in a file
// of its own, since a test may expect an exit code that is not 0, or kill the process.
func (m tests) Run() int {
	races, err := os.MkdirTemp("", "suitetest-races-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(races)
	if err := os.Chmod(races, 0o777|os.ModeSticky); err != nil { // some processes are other users'
		panic(err)
	}
	CleanEnvironment()
	os.Setenv("GORACE", os.Getenv("GORACE")+" log_path="+filepath.Join(races, "race"))
	code := m.M.Run()
	found, _ := filepath.Glob(filepath.Join(races, "*"))
	for _, race := range found {
		report, _ := os.ReadFile(race)
		fmt.Fprintf(os.Stderr, "%s:\n%s", race, report)
		code = 1
	}
	return code
}

// CleanEnvironment takes away what the binaries would obey of the user's own
// environment, and what they would inherit of it.
func CleanEnvironment() {
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		own := strings.HasPrefix(name, "IPC_") && !strings.HasPrefix(name, "IPC_REQUIRE_") // those are for tests
		if own || name == "NO_COLOR" || name == "XDG_RUNTIME_DIR" {
			os.Unsetenv(name)
		}
	}
	// The race detector would hold each process for a second at its exit.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	// A shell's background job ignores these, and what it starts inherits that. A
	// signal that is caught is not inherited.
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGHUP} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
}

func hasRaceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}
