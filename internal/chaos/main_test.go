package chaos

import (
	"flag"
	"os"
	"testing"

	"example.com/ipcsuite/internal/suitetest"
)

var (
	rounds = flag.Int("rounds", 8, "how many rounds of each test")
	seed   = flag.Uint64("seed", 1, "what the plans of all rounds follow from")
	from   = flag.Int("from", 0, "the number of the first round")
	soak   = flag.Duration("soak", 0, "how long TestSoak runs")
)

func TestMain(m *testing.M) {
	os.Exit(suitetest.Main(m, "fifo-server", "fifo-client", "shm-server", "shm-client"))
}
