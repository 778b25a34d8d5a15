package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// binary is a program and the modules of others that are in it.
type binary struct {
	name    string
	path    string // of its main package
	version string
	digest  string // SHA-256, hexadecimal
	modules []module
}

// module is a Go module; std is the standard library and the runtime.
type module struct {
	path     string
	version  string
	sum      string // as go.sum has it; none of std
	dir      string
	licences []string // SPDX identifiers
	texts    []text
}

// text is a file with a licence or a notice.
type text struct{ name, body string }

func (m module) name() string {
	if m.path == "std" {
		return "the Go standard library"
	}
	return m.path
}

// read takes a binary apart. The modules of this repository itself are not among
// its modules.
func read(file string) (binary, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return binary{}, err
	}
	info, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil {
		return binary{}, fmt.Errorf("%s: %w", file, err)
	}
	digest := sha256.Sum256(content)
	b := binary{
		name:    path.Base(info.Path),
		path:    info.Path,
		version: info.Main.Version,
		digest:  hex.EncodeToString(digest[:]),
		modules: []module{{path: "std", version: strings.TrimPrefix(info.GoVersion, "go")}},
	}
	home := path.Dir(info.Main.Path) + "/" // example.com/ipcsuite/
	for _, dep := range info.Deps {
		if strings.HasPrefix(dep.Path, home) {
			continue
		}
		if dep.Replace != nil {
			dep = dep.Replace
		}
		b.modules = append(b.modules, module{path: dep.Path, version: dep.Version, sum: dep.Sum})
	}
	if err := locate(b.modules); err != nil {
		return binary{}, fmt.Errorf("%s: %w", file, err)
	}
	for i := range b.modules {
		if err := b.modules[i].findLicences(); err != nil {
			return binary{}, fmt.Errorf("%s: %w", file, err)
		}
	}
	return b, nil
}

// locate finds the folders of the modules. Those that are in the module cache
// take no network.
func locate(modules []module) error {
	root, err := output("go", "env", "GOROOT")
	if err != nil {
		return err
	}
	args := []string{"mod", "download", "-json"}
	for i, m := range modules {
		if m.path == "std" {
			modules[i].dir = strings.TrimSpace(string(root))
		} else {
			args = append(args, m.path+"@"+m.version)
		}
	}
	if len(args) == 3 {
		return nil // without a module it would download all that a go.mod file asks for
	}
	found, err := output("go", args...)
	if err != nil {
		return err
	}
	dirs := make(map[string]string)
	for in := json.NewDecoder(bytes.NewReader(found)); ; {
		var m struct{ Path, Dir string }
		if err := in.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("go mod download: %w", err)
		}
		dirs[m.Path] = m.Dir
	}
	for i, m := range modules {
		if m.path != "std" {
			modules[i].dir = dirs[m.path]
		}
	}
	return nil
}

func output(name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(cmd.Args[:2], " "), err)
	}
	return out, nil
}

// notices is what the licences ask to be handed on.
func (b binary) notices() []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s contains what others have written, under the licences below.\n", b.name)
	for _, m := range b.modules {
		for _, t := range m.texts {
			head := fmt.Sprintf("%s %s: %s", m.name(), m.version, t.name)
			fmt.Fprintf(&out, "\n\n%s\n%s\n\n%s\n", head, strings.Repeat("=", len(head)), strings.TrimSpace(t.body))
		}
	}
	return out.Bytes()
}

// bill is the software bill of materials. It has neither time nor serial number:
// the same binary has the same bill.
func (b binary) bill() ([]byte, error) {
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Component: &cdx.Component{
		BOMRef: b.path, Type: cdx.ComponentTypeApplication, Name: b.name, Version: b.version,
		Licenses: licences([]string{"MIT"}),
		Hashes:   &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: b.digest}},
	}}
	components := make([]cdx.Component, len(b.modules))
	for i, m := range b.modules {
		url := "pkg:golang/" + m.path + "@" + m.version
		components[i] = cdx.Component{
			BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: m.path, Version: m.version,
			PackageURL: url, Licenses: licences(m.licences),
		}
		if m.sum != "" {
			components[i].Properties = &[]cdx.Property{{Name: "ipcsuite:go.sum", Value: m.sum}}
		}
	}
	bom.Components = &components
	var out bytes.Buffer
	err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom)
	return out.Bytes(), err
}

func licences(ids []string) *cdx.Licenses {
	var list cdx.Licenses
	for _, id := range ids {
		list = append(list, cdx.LicenseChoice{License: &cdx.License{ID: id}})
	}
	return &list
}
