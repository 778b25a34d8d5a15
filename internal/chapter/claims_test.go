package chapter

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// TestClaimsAreKept goes through the tables of CLAIMS.md: each of the 36 claims
// has its row, each link leads to a heading, each command stands in a chapter,
// where it is run, and each test is there.
func TestClaimsAreKept(t *testing.T) {
	t.Parallel()
	claims := read(t, filepath.Join(root, "CLAIMS.md"))
	commands := allCommands(t)
	number := 0
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+) \|.*\|$`).FindAllStringSubmatch(claims, -1) {
		number++
		if row[1] != strconv.Itoa(number) {
			t.Fatalf("claim %s stands where %d should", row[1], number)
		}
		t.Run(row[1], func(t *testing.T) {
			cells := strings.Split(strings.Trim(row[0], "|"), "|")
			if len(cells) != 5 {
				t.Fatalf("%d cells, want 5", len(cells))
			}
			see, tests := cells[3], code(cells[4])
			if len(code(see)) == 0 && !strings.Contains(see, "](") {
				t.Error("nothing to see it by")
			}
			for _, command := range code(see) {
				if !regexp.MustCompile(`[\s;(]` + regexp.QuoteMeta(command) + `[\s;)]`).MatchString(commands) {
					t.Errorf("no chapter has the command %q", command)
				}
			}
			if len(tests) == 0 {
				t.Error("no test")
			}
			for _, test := range tests {
				wantTest(t, test)
			}
		})
	}
	if number != 36 {
		t.Errorf("%d claims, want 36", number)
	}
	for _, link := range regexp.MustCompile(`\]\(([^)#]*)(?:#([^)]*))?\)`).FindAllStringSubmatch(claims, -1) {
		wantAnchor(t, link[1], link[2])
	}
}

// TestQuestionsLeadToCommands goes through the table of the front page: each word
// of its commands is one that a chapter types for the same program.
func TestQuestionsLeadToCommands(t *testing.T) {
	t.Parallel()
	commands := allCommands(t)
	_, table, _ := strings.Cut(read(t, filepath.Join(root, "README.md")), "\n## From question to command\n")
	table, _, _ = strings.Cut(table, "\n## ")
	checked := 0
	for _, row := range regexp.MustCompile(`(?m)^\| .*\| (.*) \|$`).FindAllStringSubmatch(table, -1) {
		for _, command := range code(row[1]) {
			program, words, _ := strings.Cut(command, " ")
			if strings.HasPrefix(program, "-") { // of every program
				continue
			}
			for _, word := range strings.Fields(words) {
				if strings.ToUpper(word) != word && !regexp.MustCompile(`(?m)`+program+` .*`+regexp.QuoteMeta(word)).MatchString(commands) {
					t.Errorf("%s: no chapter types %q", command, word)
				}
				checked++
			}
		}
	}
	if checked < 20 {
		t.Errorf("%d words checked: where is the table?", checked)
	}
}

// allCommands returns the commands of all chapters, a line each.
func allCommands(t *testing.T) string {
	t.Helper()
	chapters, err := filepath.Glob(filepath.Join(root, "*", "README.md"))
	if err != nil || len(chapters) == 0 {
		t.Fatalf("chapters: %v, %v", chapters, err)
	}
	var commands strings.Builder
	for _, file := range chapters {
		for _, s := range Sessions(read(t, file)) {
			commands.WriteString("\n" + s.Command + "\n")
		}
	}
	return commands.String()
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// code returns what stands between backquotes.
func code(cell string) (all []string) {
	for _, span := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
		all = append(all, span[1])
	}
	return all
}

// wantTest looks for a test, "folder TestName" or "folder TestScripts/script".
func wantTest(t *testing.T, test string) {
	t.Helper()
	folder, name, _ := strings.Cut(test, " ")
	name, script, _ := strings.Cut(name, "/")
	files, err := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			f, ok := decl.(*ast.FuncDecl)
			found = found || ok && f.Recv == nil && f.Name.Name == name
		}
	}
	if !found {
		t.Errorf("%s has no %s", folder, name)
	}
	if script != "" {
		read(t, filepath.Join(root, folder, "testdata", "script", script+".txtar"))
	}
}

// wantAnchor looks for the heading that an anchor stands for.
func wantAnchor(t *testing.T, file, anchor string) {
	t.Helper()
	text := read(t, filepath.Join(root, file))
	if anchor == "" {
		return
	}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		if slug(heading[1]) == anchor {
			return
		}
	}
	t.Errorf("%s has no heading for #%s", file, anchor)
}

// slug is the anchor that a repository page gives to a heading.
func slug(heading string) string {
	kept := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(kept, " ", "-")
}
