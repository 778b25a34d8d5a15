package integration

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

// readManifest decodes a file of deploy/k8s as strictly as a cluster does that
// is told to: an unknown field or a wrong type is an error.
func readManifest(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../k8s", file))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// readPods returns the pods that the manifests make, by file.
func readPods(t *testing.T) map[string]*corev1.Pod {
	t.Helper()
	pods := make(map[string]*corev1.Pod)
	for _, file := range []string{"fifo.yaml", "shm.yaml"} {
		pods[file] = new(corev1.Pod)
		readManifest(t, file, pods[file])
	}
	var job batchv1.Job
	readManifest(t, "suite.yaml", &job)
	pods["suite.yaml"] = &corev1.Pod{
		ObjectMeta: job.Spec.Template.ObjectMeta,
		Spec:       job.Spec.Template.Spec,
	}
	return pods
}

func TestPodsMeetTheRestrictedStandard(t *testing.T) {
	t.Parallel()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for file, pod := range readPods(t) {
		for _, r := range evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec) {
			if !r.Allowed {
				t.Errorf("%s: %s: %s", file, r.ForbiddenReason, r.ForbiddenDetail)
			}
		}
	}
}

func TestPodsOfPairs(t *testing.T) {
	podman := loadImages(t)
	for name, p := range pairs() {
		t.Run(name, func(t *testing.T) {
			pod := podman.play(t, readPods(t)[name+".yaml"])
			podman.await(t, pod+"-"+p.server, "serving until Ctrl-C")
			podman.await(t, pod+"-"+p.client, "connected")
			for _, c := range readPods(t)[name+".yaml"].Spec.Containers {
				if probe := c.LivenessProbe; probe != nil {
					podman.run(t, nil, append([]string{"exec", pod + "-" + c.Name}, probe.Exec.Command...)...)
				}
			}
			podman.run(t, nil, "exec", pod+"-"+p.client, p.client, "a message")
			podman.await(t, pod+"-"+p.server, "a message")
			podman.run(t, nil, "pod", "stop", "--time", "2", pod)
			podman.mustExit(t, pod+"-"+p.server, "143")
		})
	}
}

func TestPodOfTheSuite(t *testing.T) {
	podman := loadImages(t)
	manifest := readPods(t)["suite.yaml"]
	pod := podman.play(t, manifest)
	// That these have been started says that pipe-demo, before them, has ended
	// with 0. Podman has removed it then.
	for _, c := range manifest.Spec.Containers {
		podman.mustExit(t, pod+"-"+c.Name, "0")
	}
	for _, end := range []struct{ container, text string }{
		{"fifo-server", "] client say : of one FIFO"},
		{"shm-server", "System V shared memory"},
	} {
		if out := podman.run(t, nil, "logs", pod+"-"+end.container); !strings.Contains(out, end.text) {
			t.Errorf("%q is not in the output of %s:\n%s", end.text, end.container, out)
		}
	}
}

// podman runs pods as a node of a cluster does, without the cluster.
type podman struct{ config string }

// loadImages brings the images of the suite to podman, for as long as the test
// runs. Where there is no podman, it skips the test, unless IPC_REQUIRE_DOCKER
// says that this is a failure.
func loadImages(t *testing.T) podman {
	t.Helper()
	if _, err := exec.LookPath("podman"); err != nil {
		if os.Getenv("IPC_REQUIRE_DOCKER") == "1" {
			t.Fatal("IPC_REQUIRE_DOCKER=1, and there is no podman: ", err)
		}
		t.Skip("there is no podman: ", err)
	}
	// Podman's own limits are more than may be set where the hard limits of
	// the machine are lower.
	p := podman{config: filepath.Join(t.TempDir(), "containers.conf")}
	limits := "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n"
	if err := os.WriteFile(p.config, []byte(limits), 0o600); err != nil {
		t.Fatal(err)
	}
	images := []string{"ipcsuite/pipe-demo", "ipcsuite/fifo-server", "ipcsuite/fifo-client", "ipcsuite/shm-server", "ipcsuite/shm-client"}
	saved, err := apiClient(t).ImageSave(t.Context(), images)
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close()
	p.run(t, saved, "load", "--quiet")
	t.Cleanup(func() { p.clean(t, nil, append([]string{"rmi"}, images...)...) })
	return p
}

// play starts a pod under a name of its own, which it returns, and removes it
// when the test ends.
func (p podman) play(t *testing.T, pod *corev1.Pod) (name string) {
	t.Helper()
	pod = pod.DeepCopy()
	pod.APIVersion, pod.Kind = "v1", "Pod"
	pod.Name = "ipcsuite-" + strings.ToLower(rand.Text())
	manifest, err := yaml.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.clean(t, bytes.NewReader(manifest), "play", "kube", "--down", "-") })
	p.run(t, bytes.NewReader(manifest), "play", "kube", "-")
	return pod.Name
}

func (p podman) command(ctx context.Context, stdin io.Reader, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "podman", args...)
	cmd.Stdin = stdin
	cmd.Env = append(os.Environ(), "CONTAINERS_CONF="+p.config)
	return cmd
}

// patience is how long anything may take before the test fails. Go's own limit for
// tests would leave the pods and images behind.
const patience = 2 * time.Minute

func (p podman) run(t *testing.T, stdin io.Reader, args ...string) string {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	out, err := p.command(ctx, stdin, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("podman %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// clean is run for when the test has ended, also by a failure.
func (p podman) clean(t *testing.T, stdin io.Reader, args ...string) {
	if out, err := p.command(context.Background(), stdin, args...).CombinedOutput(); err != nil {
		t.Errorf("podman %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// await returns when the container has printed text.
func (p podman) await(t *testing.T, container, text string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	logs := p.command(ctx, nil, "logs", "--follow", container)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	logs.Stdout, logs.Stderr = w, w
	err = logs.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Wait() // it is killed
	defer stop()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			return
		}
	}
	t.Fatalf("%s has ended, or has had %v, without printing %q", container, patience, text)
}

// mustExit waits for the container's end and checks its exit code.
func (p podman) mustExit(t *testing.T, container, code string) {
	t.Helper()
	if got := strings.TrimSpace(p.run(t, nil, "wait", container)); got != code {
		t.Errorf("%s: exit code %s, want %s:\n%s", container, got, code, p.run(t, nil, "logs", container))
	}
}
