package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
)

const root = "../.." // of the repository

// binaries are the programs of the suite, each of which has an image.
var binaries = []string{"pipe-demo", "fifo-server", "fifo-client", "shm-server", "shm-client", "ipc-bench"}

// buildArgs are for the images' labels, and the same each time, so that the next run
// finds the images built.
var buildArgs = map[string]string{"VERSION": "v0.0.0-test", "REVISION": "0123456789abcdef", "CREATED": "2026-01-02T03:04:05Z"}

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

// buildImages builds all targets of the Dockerfile, under the names that
// compose.yaml gives them. The first one compiles, the others find that done.
func buildImages() error {
	base := exec.Command("../golang-image.sh")
	base.Stdout, base.Stderr = os.Stderr, os.Stderr
	if err := base.Run(); err != nil {
		return fmt.Errorf("golang-image.sh: %w", err)
	}
	provider, err := testcontainers.NewDockerProvider(testcontainers.WithLogger(log.NewNoopLogger()))
	if err != nil {
		return err
	}
	defer provider.Close()
	labels := make(map[string]*string)
	for name, value := range buildArgs {
		labels[name] = &value
	}
	for _, binary := range binaries {
		var output bytes.Buffer
		_, err := provider.BuildImage(context.Background(), &testcontainers.ContainerRequest{
			FromDockerfile: testcontainers.FromDockerfile{
				Context:        root,
				Dockerfile:     "deploy/Dockerfile",
				Repo:           "ipcsuite/" + binary,
				Tag:            "latest",
				BuildArgs:      labels,
				KeepImage:      true, // and its layers, for the next run
				BuildLogWriter: &output,
				BuildOptionsModifier: func(o *client.ImageBuildOptions) {
					o.Target = binary
				},
			},
		})
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", binary, err, &output)
		}
	}
	return nil
}
