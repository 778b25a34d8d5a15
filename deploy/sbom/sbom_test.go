package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// self is the running test, a binary with modules of others in it.
func self(t *testing.T) binary {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := read(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBinaryNamesItsModules(t *testing.T) {
	t.Parallel()
	b := self(t)
	want := map[string]string{
		"std":                               "BSD-3-Clause",
		"github.com/CycloneDX/cyclonedx-go": "Apache-2.0",
		"github.com/google/licensecheck":    "BSD-3-Clause",
	}
	got := make(map[string]string)
	for _, m := range b.modules {
		got[m.path] = strings.Join(m.licences, " and ")
	}
	for path, licence := range want {
		if got[path] != licence {
			t.Errorf("%s has licence %q, want %q", path, got[path], licence)
		}
	}
	if len(got) != len(want) {
		t.Errorf("modules %v, want %v", got, want)
	}

	var list bytes.Buffer
	if err := table(&list, []binary{b, {name: "other"}}); err != nil {
		t.Fatal(err)
	}
	if row := "| github.com/CycloneDX/cyclonedx-go | Apache-2.0 | sbom |"; !strings.Contains(list.String(), row) {
		t.Errorf("no row %q in\n%s", row, &list)
	}
}

func TestWhatGoesWithABinary(t *testing.T) {
	t.Parallel()
	b := self(t)
	dir := filepath.Join(t.TempDir(), "doc")
	if err := b.writeTo(dir); err != nil {
		t.Fatal(err)
	}
	notices, err := os.ReadFile(filepath.Join(dir, "NOTICES"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"Copyright 2009 The Go Authors", "Copyright (c) 2019 The Go Authors", "Apache License"} {
		if !bytes.Contains(notices, []byte(part)) {
			t.Errorf("no %q in NOTICES", part)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "sbom.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bill struct {
		BOMFormat  string
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal(text, &bill); err != nil {
		t.Fatal(err)
	}
	if bill.BOMFormat != "CycloneDX" || len(bill.Components) != len(b.modules) {
		t.Errorf("%+v", bill)
	}
	for _, c := range bill.Components {
		if c.Version == "" || c.PURL != "pkg:golang/"+c.Name+"@"+c.Version {
			t.Errorf("component %+v", c)
		}
	}
	again, err := b.bill()
	if err != nil || !bytes.Equal(again, text) {
		t.Errorf("the same binary has another bill: %v", err)
	}
}

const mit = `Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
`

const (
	gpl    = "This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later version.\n"
	choice = "You may choose between the files in licenses.\n"
)

func TestLicencesAreFoundAndJudged(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, path string
		files      map[string]string
		want       []string // nil: refused
		why        string
	}{
		{"one that is allowed", "m", map[string]string{"LICENSE": "Copyright somebody\n" + mit}, []string{"MIT"}, ""},
		{"under another name", "m", map[string]string{"COPYING.txt": mit}, []string{"MIT"}, ""},
		{"in a folder", "m", map[string]string{"LICENSES/MIT.txt": mit}, []string{"MIT"}, ""},
		{"beside a folder of other licences", "m", map[string]string{"LICENSE": mit, "licenses/a": gpl}, []string{"MIT"}, ""},
		{"with a notice", "m", map[string]string{"LICENSE": mit, "NOTICE": "made by us"}, []string{"MIT"}, ""},
		{"none", "m", map[string]string{"README.md": mit}, nil, "no licence that is known"},
		{"one that nobody knows", "m", map[string]string{"LICENSE": "Do not use this."}, nil, "no licence that is known"},
		{"one that is not allowed", "m", map[string]string{"LICENSE": gpl}, nil, "is none of those allowed"},
		{"one allowed and one not", "m", map[string]string{"LICENSE": mit, "COPYING": gpl}, nil, "is none of those allowed"},
		{"a choice that was not made", "m", map[string]string{"LICENSE": choice, "licenses/a": mit, "licenses/b": gpl}, nil, "is none of those allowed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := module{path: test.path, dir: t.TempDir()}
			for name, body := range test.files {
				file := filepath.Join(m.dir, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := m.findLicences()
			switch {
			case test.want == nil && (err == nil || !strings.Contains(err.Error(), test.why)):
				t.Errorf("licences %q, %v, want an error: %s", m.licences, err, test.why)
			case test.want != nil && (err != nil || !slices.Equal(m.licences, test.want)):
				t.Errorf("licences %q, %v, want %q", m.licences, err, test.want)
			case test.want != nil && m.texts[len(m.texts)-1].body == "":
				t.Errorf("texts handed on: %q", m.texts)
			}
		})
	}
}

func TestFileThatIsNoBinary(t *testing.T) {
	t.Parallel()
	if err := run(true, "", []string{"main.go"}); err == nil {
		t.Error("main.go has a list of modules")
	}
}
