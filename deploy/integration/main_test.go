package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/moby/moby/client"
)

const root = "../.." // of the repository

// binaries are the programs of the suite, each of which has an image.
var binaries = []string{"pipe-demo", "fifo-server", "fifo-client", "shm-server", "shm-client", "ipc-bench"}

// TestMain builds the images that all tests use. Where there is no Docker, it
// skips the package, unless IPC_REQUIRE_DOCKER says that this is a failure.
func TestMain(m *testing.M) {
	if err := findDocker(); err != nil {
		if os.Getenv("IPC_REQUIRE_DOCKER") == "1" {
			fmt.Fprintln(os.Stderr, "IPC_REQUIRE_DOCKER=1, and there is no Docker:", err)
			os.Exit(1)
		}
		fmt.Fprintln(os.Stderr, "SKIP: there is no Docker:", err)
		os.Exit(0)
	}
	if err := buildImages(); err != nil {
		fmt.Fprintln(os.Stderr, "build images:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func findDocker() error {
	// The reaper would be one more image from a registry. What the tests start,
	// they remove themselves.
	if err := os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true"); err != nil {
		return err
	}
	docker, err := client.New(client.FromEnv)
	if err != nil {
		return err
	}
	defer docker.Close()
	_, err = docker.Ping(context.Background(), client.PingOptions{})
	return err
}

// buildImages builds all targets of the Dockerfile as users do, so that the images
// that are left when the tests have ended are those of "make images".
func buildImages() error {
	if out, err := exec.Command("make", "-C", root, "images").CombinedOutput(); err != nil {
		return fmt.Errorf("make images: %w\n%s", err, out)
	}
	return nil
}
