package integration

import (
	"encoding/json"
	"io"
	"maps"
	"os/exec"
	"strings"
	"testing"
)

// Whoever has nothing but an image can tell what is in it, from where, and on
// which terms.
func TestImagesSayWhatIsInThem(t *testing.T) {
	t.Parallel()
	for _, binary := range binaries {
		t.Run(binary, func(t *testing.T) {
			t.Parallel()
			image, err := apiClient(t).ImageInspect(t.Context(), "ipcsuite/"+binary)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{
				"org.opencontainers.image.title":       binary,
				"org.opencontainers.image.description": "Pipes, FIFOs and System V shared memory, shown and measured",
				"org.opencontainers.image.licenses":    "MIT",
				"org.opencontainers.image.source":      "https://example.com/ipcsuite",
				"org.opencontainers.image.version":     git(t, "describe", "--always", "--tags", "--dirty"),
				"org.opencontainers.image.revision":    git(t, "rev-parse", "HEAD"),
				"org.opencontainers.image.created":     git(t, "show", "-s", "--format=%cI", "HEAD"),
			}
			if got := image.Config.Labels; !maps.Equal(got, want) {
				t.Errorf("labels are\n%v, want\n%v", got, want)
			}

			ctr := start(t, binary, args("--version"), toTheEnd())
			ctr.mustExit(0)
			var bill struct {
				Metadata   struct{ Component struct{ Name string } }
				Components []struct{ Name string }
			}
			if err := json.Unmarshal([]byte(ctr.file("/usr/share/doc/"+binary+"/sbom.cdx.json")), &bill); err != nil {
				t.Fatal(err)
			}
			if bill.Metadata.Component.Name != binary {
				t.Errorf("the bill of materials is of %q", bill.Metadata.Component.Name)
			}
			if len(bill.Components) == 0 {
				t.Error("the bill of materials has nothing in it")
			}
			notices := ctr.file("/usr/share/doc/" + binary + "/NOTICES")
			for _, module := range bill.Components {
				name := module.Name
				if name == "std" {
					name = "the Go standard library"
				}
				if !strings.Contains(notices, "\n"+name+" ") {
					t.Errorf("NOTICES has no text for %s", name)
				}
			}
			if text := ctr.file("/usr/share/doc/ipcsuite/LICENSE"); !strings.Contains(text, "MIT License") {
				t.Errorf("its own licence is\n%s", text)
			}
		})
	}
}

// git tells what the images were built from.
func git(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("git", args...).Output()
	if err != nil {
		t.Fatalf("git %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out))
}

// file is one of the container's, which need not run.
func (d *docker) file(path string) string {
	d.t.Helper()
	file, err := d.CopyFileFromContainer(d.t.Context(), path)
	if err != nil {
		d.t.Fatal(err)
	}
	defer file.Close()
	b, err := io.ReadAll(file)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(b)
}
