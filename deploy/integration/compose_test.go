package integration

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/modules/compose"
)

func TestCompose(t *testing.T) {
	t.Parallel()
	stack, err := compose.NewDockerComposeWith(
		compose.WithStackFiles(root+"/compose.yaml"),
		compose.StackIdentifier("ipcsuite-"+strings.ToLower(rand.Text())),
		compose.WithLogger(log.TestLogger(t)),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stack.Close() })
	t.Cleanup(func() {
		if err := stack.Down(context.Background(), compose.RemoveVolumes(true)); err != nil {
			t.Error(err)
		}
	})
	if err := stack.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	for service, texts := range map[string][]string{
		"pipe-demo":   {"I am father process : 6", "Pipe close, child quit!!!"},
		"fifo-server": {"] client say : whichever the kernel wakes\n", "removed FIFO messages=3"},
		"fifo-sample": nil,
		"shm-server":  {"\nthis goes through System V shared memory\n", "\nquit\n", "detached and removed segment"},
		"shm-sample":  nil,
	} {
		ctr, err := stack.ServiceContainer(t.Context(), service)
		if err != nil {
			t.Fatal(err)
		}
		d := &docker{ctr, t, nil}
		d.mustExit(0, texts...)
	}
}
