package integration

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tcexec "github.com/testcontainers/testcontainers-go/exec"
	"github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/wait"
)

// meeting is the folder in which server and client meet, in every container.
const meeting = "/run/ipcsuite"

// stopTime is what docker stop gives a program before it kills it.
const stopTime = 2 * time.Second

type option = testcontainers.CustomizeRequestOption

// args are the arguments of the binary.
func args(args ...string) option { return testcontainers.WithCmd(args...) }

// flag sets a flag by its environment variable, where the image's health check
// sees it too.
func flag(name, value string) option { return testcontainers.WithEnv(map[string]string{name: value}) }

// sharing puts a volume where the binaries meet.
func sharing(volume string) option {
	return testcontainers.WithMounts(testcontainers.VolumeMount(volume, meeting))
}

// ipc chooses the IPC namespace, as docker run --ipc does.
func ipc(mode string) option {
	return testcontainers.WithHostConfigModifier(func(h *container.HostConfig) {
		h.IpcMode = container.IpcMode(mode)
	})
}

const shareable = "shareable"

// user sets uid and gid.
func user(ids string) option {
	return testcontainers.WithConfigModifier(func(c *container.Config) { c.User = ids })
}

// toTheEnd is for a server whose client is there already: it may have ended
// before it could be found healthy.
func toTheEnd() option { return testcontainers.WithWaitStrategy(wait.ForExit()) }

// typing leaves stdin open, for [docker.typeLines].
func typing() option {
	return testcontainers.WithConfigModifier(func(c *container.Config) { c.OpenStdin, c.StdinOnce = true, true })
}

// docker is a container that the test has started.
type docker struct {
	*testcontainers.DockerContainer
	t   *testing.T
	api *testcontainers.DockerClient
}

// start runs an image of the suite, confined as in compose.yaml. Servers are
// healthy when it returns. The container goes when the test ends.
func start(t *testing.T, binary string, opts ...option) *docker {
	t.Helper()
	customizers := []testcontainers.ContainerCustomizer{
		testcontainers.WithLogger(log.TestLogger(t)),
		testcontainers.WithHostConfigModifier(func(h *container.HostConfig) {
			h.NetworkMode = "none"
			h.ReadonlyRootfs = true
			h.CapDrop = []string{"ALL"}
			h.SecurityOpt = []string{"no-new-privileges"}
			h.IpcMode = "private"
		}),
	}
	if strings.HasSuffix(binary, "-server") {
		customizers = append(customizers, testcontainers.WithWaitStrategy(wait.ForHealthCheck()))
	}
	for _, o := range opts {
		customizers = append(customizers, o)
	}
	ctr, err := testcontainers.Run(t.Context(), "ipcsuite/"+binary, customizers...)
	// Not killed at once: in the host's namespace, that would leave a segment.
	testcontainers.CleanupContainer(t, ctr, testcontainers.StopTimeout(stopTime))
	if err != nil {
		t.Fatalf("start %s: %v", binary, err)
	}
	return &docker{ctr, t, apiClient(t)}
}

func apiClient(t *testing.T) *testcontainers.DockerClient {
	t.Helper()
	api, err := testcontainers.NewDockerClientWithOpts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { api.Close() })
	return api
}

// newVolume names a volume, which Docker makes at its first use, and removes it
// when the test ends, after the containers that are started later.
func newVolume(t *testing.T) string {
	t.Helper()
	name := "ipcsuite-" + rand.Text()
	t.Cleanup(func() {
		api, err := testcontainers.NewDockerClientWithOpts(context.Background())
		if err != nil {
			t.Error(err)
			return
		}
		defer api.Close()
		if _, err := api.VolumeRemove(context.Background(), name, client.VolumeRemoveOptions{Force: true}); err != nil {
			t.Error(err)
		}
	})
	return name
}

// namespace is the IPC namespace of the container, for others to join.
func (d *docker) namespace() option { return ipc("container:" + d.GetContainerID()) }

// output is all that the container has printed, on stdout and stderr, in all
// its runs.
func (d *docker) output() string {
	d.t.Helper()
	logs, err := d.Logs(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	defer logs.Close()
	b, err := io.ReadAll(logs)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(b)
}

// await returns when the container has printed text.
func (d *docker) await(text string) {
	d.t.Helper()
	d.awaitTimes(1, text)
}

// awaitTimes returns when the container has printed text n times.
func (d *docker) awaitTimes(n int, text string) {
	d.t.Helper()
	if err := wait.ForLog(text).WithOccurrence(n).WaitUntilReady(d.t.Context(), d); err != nil {
		d.t.Fatalf("wait for %q: %v; it has printed:\n%s", text, err, d.output())
	}
}

// mustExit waits for the container's end and checks its exit code, and that all
// of the texts are in its output.
func (d *docker) mustExit(code int, texts ...string) {
	d.t.Helper()
	if err := wait.ForExit().WithExitTimeout(time.Minute).WaitUntilReady(d.t.Context(), d); err != nil {
		d.t.Fatalf("wait for exit: %v; it has printed:\n%s", err, d.output())
	}
	state, err := d.State(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	if state.ExitCode != code {
		d.t.Errorf("exit code %d, want %d", state.ExitCode, code)
	}
	d.mustHavePrinted(texts...)
}

func (d *docker) mustHavePrinted(texts ...string) {
	d.t.Helper()
	out := d.output()
	for _, text := range texts {
		if !strings.Contains(out, text) {
			d.t.Errorf("%q is not in the output:\n%s", text, out)
		}
	}
}

// stop is docker stop. Exit code 137 would mean that it had to kill.
func (d *docker) stop() {
	d.t.Helper()
	timeout := stopTime
	if err := d.Stop(d.t.Context(), &timeout); err != nil {
		d.t.Fatal(err)
	}
}

// kill is docker kill: SIGKILL, for all processes in the container.
func (d *docker) kill() {
	d.t.Helper()
	if _, err := d.api.ContainerKill(d.t.Context(), d.GetContainerID(), client.ContainerKillOptions{Signal: "KILL"}); err != nil {
		d.t.Fatal(err)
	}
	d.mustExit(137)
}

// restart is docker start, for a container that has ended.
func (d *docker) restart() {
	d.t.Helper()
	if err := d.Start(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

// run runs a command in the container and returns what it prints.
func (d *docker) run(cmd ...string) string {
	d.t.Helper()
	code, out, err := d.Exec(d.t.Context(), cmd, tcexec.Multiplexed())
	if err != nil {
		d.t.Fatal(err)
	}
	b, err := io.ReadAll(out)
	if err != nil {
		d.t.Fatal(err)
	}
	if code != 0 {
		d.t.Fatalf("%v: exit code %d:\n%s", cmd, code, b)
	}
	return string(b)
}

// typeLines writes "line 1", "line 2" and so on to the container's stdin, until
// that takes no more: some thousand a second, as Docker keeps all that is printed
// and the tests read it again and again.
func (d *docker) typeLines() {
	d.t.Helper()
	stdin, err := d.api.ContainerAttach(d.t.Context(), d.GetContainerID(), client.ContainerAttachOptions{Stream: true, Stdin: true})
	if err != nil {
		d.t.Fatal(err)
	}
	var typist sync.WaitGroup
	d.t.Cleanup(typist.Wait)
	d.t.Cleanup(stdin.Close)
	typist.Go(func() {
		pace := time.NewTicker(time.Millisecond)
		defer pace.Stop()
		for n := 1; ; n++ {
			if n%10 == 0 {
				<-pace.C
			}
			if _, err := fmt.Fprintf(stdin.Conn, "line %d\n", n); err != nil {
				return // the container has ended, or the test
			}
		}
	})
}
