package chaos

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// limit is how long a round waits for what must happen: so that a fault shows as
// a failure, not as a test that hangs.
const limit = 30 * time.Second

var (
	rounds = flag.Int("rounds", 8, "how many rounds of each test")
	seed   = flag.Uint64("seed", 1, "what the plans of all rounds follow from")
	from   = flag.Int("from", 0, "the number of the first round")
	soak   = flag.Duration("soak", 0, "how long TestSoak runs")
)

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	flag.Parse()
	bin, err := os.MkdirTemp("", "chaos-bin-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(bin)
	for _, name := range []string{"fifo-server", "fifo-client", "shm-server", "shm-client"} {
		args := []string{"build", "-o", bin}
		if withRace() {
			args = append(args, "-race")
		}
		cmd := exec.Command("go", append(args, ".")...)
		cmd.Dir = filepath.Join("../..", name)
		if out, err := cmd.CombinedOutput(); err != nil {
			panic(fmt.Sprintf("%v: %s", err, out))
		}
	}
	os.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	for _, e := range os.Environ() { // the user's own would be obeyed
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "IPC_") {
			os.Unsetenv(name)
		}
	}
	// A shell's background job has these ignored, and so would have its children,
	// up to when they say otherwise.
	for _, sig := range []os.Signal{unix.SIGINT, unix.SIGHUP} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
	// The race detector would sleep for a second at the end of each process.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	return m.Run()
}

func withRace() bool {
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
