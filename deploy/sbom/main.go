// Command sbom tells what binaries are made of: it starts from the build
// information that the go command has left in them, and so from what is really
// inside, not from what a go.mod file asks for.
//
//	sbom -list FILE ...
//	    print the modules of others in the binaries and their licences, as
//	    THIRD_PARTY.md has them
//	sbom -o FOLDER FILE ...
//	    write FOLDER/NAME/sbom.cdx.json (CycloneDX) and FOLDER/NAME/NOTICES, the
//	    licences' texts, for each binary
//
// FILE is a binary, or a folder with nothing but binaries in it.
//
// It fails if a module has no licence that it knows, or one that is not allowed
// here. It needs the go command and the sources in the module cache, as they are
// after a build.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	list := flag.Bool("list", false, "print a table of modules and licences")
	out := flag.String("o", "", "write SBOM and notices of each binary to a folder of its name in `FOLDER`")
	flag.Parse()
	if err := run(*list, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(list bool, out string, paths []string) error {
	if len(paths) == 0 || list == (out != "") {
		return errors.New("want binaries, and either -list or -o: see -help")
	}
	var binaries []binary
	for _, path := range paths {
		files, err := filesAt(path)
		if err != nil {
			return err
		}
		for _, file := range files {
			b, err := read(file)
			if err != nil {
				return err
			}
			binaries = append(binaries, b)
		}
	}
	if list {
		return table(os.Stdout, binaries)
	}
	for _, b := range binaries {
		if err := b.writeTo(filepath.Join(out, b.name)); err != nil {
			return err
		}
	}
	return nil
}

// filesAt returns the files in a folder, or the one file that path names.
func filesAt(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, err
	}
	return filepath.Glob(filepath.Join(path, "*"))
}

// table prints each module once, with all binaries that it is in.
func table(w io.Writer, binaries []binary) error {
	users := make(map[string][]string)
	var all []module
	for _, b := range binaries {
		for _, m := range b.modules {
			if users[m.path] == nil {
				all = append(all, m)
			}
			users[m.path] = append(users[m.path], b.name)
		}
	}
	slices.SortFunc(all, func(a, b module) int { return cmp.Compare(a.path, b.path) })
	var text strings.Builder
	text.WriteString("# What others have written\n\n" +
		"The modules in the binaries and their licences. `make licenses` writes this list, and\n" +
		"CI fails if it is not true, or a licence not allowed. The texts of the licences are in\n" +
		"each image, in `/usr/share/doc/NAME/NOTICES`; versions are in `sbom.cdx.json` beside it.\n\n" +
		"| module | licence | in |\n|---|---|---|\n")
	for _, m := range all {
		in := "all"
		if len(users[m.path]) < len(binaries) {
			in = strings.Join(users[m.path], ", ")
		}
		fmt.Fprintf(&text, "| %s | %s | %s |\n", m.name(), strings.Join(m.licences, " and "), in)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// writeTo writes what goes with a binary into an image.
func (b binary) writeTo(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "NOTICES"), b.notices(), 0o644); err != nil {
		return err
	}
	bill, err := b.bill()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "sbom.cdx.json"), bill, 0o644)
}
