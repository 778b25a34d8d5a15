package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// allowed are the licences that ask for nothing but to be named, which NOTICES
// does.
var allowed = []string{
	"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "CC0-1.0", "FTL", "ISC", "MIT", "OFL-1.1", "Unlicense", "Zlib",
}

// chosen is what we take where a module leaves the choice.
var chosen = map[string]string{
	"github.com/golang/freetype": "FTL", // or GPL-2.0-or-later
}

// legal are the names at the top of a module that tell of a licence, or of what
// goes with one.
var legal = regexp.MustCompile(`(?i)^(licen[cs]es?|copying|unlicense|notice|patents)([-.].*)?$`)

// findLicences looks through the module's folder, and fails if what it finds is
// not allowed, or nothing. A folder of licences counts where no file at the top
// has one.
func (m *module) findLicences() error {
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return fmt.Errorf("module %s: %w", m.path, err)
	}
	var folders []string
	for _, entry := range entries {
		switch name := entry.Name(); {
		case !legal.MatchString(name):
		case entry.IsDir():
			folders = append(folders, name)
		default:
			if err := m.add(name); err != nil {
				return err
			}
		}
	}
	for ; len(m.licences) == 0 && len(folders) > 0; folders = folders[1:] {
		files, err := os.ReadDir(filepath.Join(m.dir, folders[0]))
		if err != nil {
			return fmt.Errorf("module %s: %w", m.path, err)
		}
		for _, file := range files {
			if err := m.add(filepath.Join(folders[0], file.Name())); err != nil {
				return err
			}
		}
	}
	if id, ok := chosen[m.path]; ok && slices.Contains(m.licences, id) {
		m.licences = []string{id}
	}
	if len(m.licences) == 0 {
		return fmt.Errorf("module %s: no licence that is known in %s", m.path, m.dir)
	}
	for _, id := range m.licences {
		if !slices.Contains(allowed, id) {
			return fmt.Errorf("module %s: licence %s is none of those allowed: %s", m.path, id, strings.Join(allowed, ", "))
		}
	}
	return nil
}

// add takes a file's text, and the licences that most of it is made of.
func (m *module) add(name string) error {
	body, err := os.ReadFile(filepath.Join(m.dir, name))
	if err != nil {
		return fmt.Errorf("module %s: %w", m.path, err)
	}
	m.texts = append(m.texts, text{name, string(body)})
	cover := licensecheck.Scan(body)
	if cover.Percent < 75 {
		return nil
	}
	for _, match := range cover.Match {
		// A grant of patents, which takes nothing away.
		if match.ID != "GooglePatentsFile" && !slices.Contains(m.licences, match.ID) {
			m.licences = append(m.licences, match.ID)
		}
	}
	return nil
}
