package integration

import (
	"fmt"
	"regexp"
	"testing"
)

func TestThreeReadersShareTenThousandMessages(t *testing.T) {
	t.Parallel()
	const n = 10_000
	messages := make([]string, n)
	for i := range messages {
		messages[i] = fmt.Sprint("line ", i+1)
	}
	volume := newVolume(t)
	server := start(t, "fifo-server", sharing(volume), args("--readers", "3"))
	client := start(t, "fifo-client", sharing(volume), args(messages...))
	client.mustExit(0)
	server.mustExit(0, fmt.Sprintf("removed FIFO messages=%d", n))

	got := pairs()["fifo"].messages(server)
	if len(got) != n {
		t.Errorf("%d messages, want %d", len(got), n)
	}
	mustBeLines(t, got)
	ended := regexp.MustCompile(`(?m)^read end of file, client quit, server quit too$`).FindAllString(server.output(), -1)
	if len(ended) != 3 {
		t.Errorf("%d readers have seen the end of file, want 3", len(ended))
	}
}
