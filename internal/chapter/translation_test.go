package chapter

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTranslationsSayTheSame compares the front page, the claims, the limits and each
// chapter with the translation beside it: all in them that is not prose, section by
// section.
func TestTranslationsSayTheSame(t *testing.T) {
	t.Parallel()
	for _, file := range translated(t) {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			original, translation := read(t, filepath.Join(root, file)), read(t, filepath.Join(root, inChinese(file)))
			for _, difference := range compare(filepath.Base(file), original, translation) {
				t.Error(difference)
			}
		})
	}
}

// TestTranslationsLinkToWhatIsThere follows each link of a translation to its file
// and heading: these are Chinese, and the original has no list of them.
func TestTranslationsLinkToWhatIsThere(t *testing.T) {
	t.Parallel()
	for _, file := range translated(t) {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			file := inChinese(file)
			for _, link := range links.FindAllStringSubmatch(read(t, filepath.Join(root, file)), -1) {
				target, anchor, _ := strings.Cut(link[1], "#")
				path := filepath.Join(filepath.Dir(file), target)
				if target == "" {
					path = file
				}
				if strings.Contains(target, "://") {
					continue
				}
				if _, err := os.Stat(filepath.Join(root, path)); err != nil {
					t.Errorf("%s leads nowhere: %v", link[1], err)
				} else if anchor != "" {
					wantAnchor(t, path, anchor)
				}
			}
		})
	}
}

// translated returns what must be there in Chinese too: CLAIMS.md, LIMITS.md, and
// README.md of the front page and of each folder beside it.
func translated(t *testing.T) []string {
	t.Helper()
	files, err := fs.Glob(os.DirFS(root), "*/README.md")
	if err != nil || len(files) < 4 {
		t.Fatalf("only %v, %v: where are the chapters?", files, err)
	}
	return append(files, "README.md", "CLAIMS.md", "LIMITS.md")
}

// inChinese is the name of the translation, or what a link in it leads to.
func inChinese(file string) string {
	return regexp.MustCompile(`\b(README|CLAIMS|LIMITS)\.md`).ReplaceAllString(file, "$1.zh-CN.md")
}

func TestCompareFindsWhatHasDrifted(t *testing.T) {
	t.Parallel()
	const original = `English | [中文](README.zh-CN.md)

# A
Say ''x -y'', [so](c/README.md#d).

    $ run   # in one terminal

'''console
$ run it
out
'''

| a | b |
|---|---|
| 1 | 2 |

- one
- two

'''mermaid
a --> b
'''

<details><summary>Answer</summary>
</details>

## B
`
	const translation = `[English](README.md) | 中文

# 甲
用 ''x -y'',见[此](c/README.zh-CN.md#丁)。

    $ run   # 在一个终端里

'''console
$ run it
out
'''

| 甲 | 乙 |
|---|---|
| 1 | 2 |

- 一
- 二

'''mermaid
甲 --> 乙
'''

<details><summary>答案</summary>
</details>

## 乙
`
	markdown := strings.NewReplacer("'''", "```", "''", "`").Replace
	if got := compare("README.md", markdown(original), markdown(translation)); len(got) > 0 {
		t.Errorf("equal ones differ: %q", got)
	}
	for name, change := range map[string][2]string{
		"way back":       {"[English](README.md)", "English"},
		"section":        {"## 乙\n", ""},
		"level":          {"## 乙", "### 乙"},
		"heading":        {"## 乙", "## B"},
		"code":           {"''x -y''", "''x -z''"},
		"link":           {"c/README.zh", "e/README.zh"},
		"English link":   {"c/README.zh-CN.md", "c/README.md"},
		"anchor":         {"#丁", ""},
		"command":        {"$ run it", "$ run"},
		"output":         {"out\n", "aus\n"},
		"indented":       {"$ run  ", "$ walk  "},
		"row":            {"| 1 | 2 |\n", ""},
		"column":         {"| 1 | 2 |", "| 1 |"},
		"item":           {"- 二\n", ""},
		"paragraph":      {"## 乙", "多了一段。\n\n## 乙"},
		"picture":        {"'''mermaid\n甲 --> 乙\n'''\n", ""},
		"kind of block":  {"'''mermaid", "'''console"},
		"answer unended": {"</details>", ""},
	} {
		changed := strings.Replace(translation, change[0], change[1], 1)
		if got := compare("README.md", markdown(original), markdown(changed)); changed == translation || len(got) == 0 {
			t.Errorf("%s: not found", name)
		}
	}
}

// part is a section: its heading, and all in it that a translation keeps.
type part struct {
	heading    string
	level      int
	blocks     []string // of code, line by line, without comments; a picture is its fence only
	spans      []string // of code within the prose, sorted
	links      []string // targets, sorted, "#" for every anchor
	tags       []string // of HTML
	rows       []string // columns of each row of the tables
	paragraphs []string // and items of lists: their number counts
}

// compare tells in what the translation of a file differs, other than by its language.
func compare(name, original, translation string) (differences []string) {
	original, toChinese := strings.CutPrefix(original, "English | [中文]("+inChinese(name)+")\n")
	translation, toEnglish := strings.CutPrefix(translation, "[English]("+name+") | 中文\n")
	if !toChinese || !toEnglish {
		differences = append(differences, "the first lines do not lead from one to the other")
	}
	want, got := parts(original), parts(translation)
	if len(want) != len(got) {
		return append(differences, fmt.Sprintf("%d sections, want %d", len(got), len(want)))
	}
	for i, w := range want {
		g := got[i]
		at := "section " + w.heading + ", " + g.heading + ": "
		if w.level != g.level {
			differences = append(differences, at+"not the same level")
		}
		if g.level > 1 && !regexp.MustCompile(`\p{Han}`).MatchString(g.heading) {
			differences = append(differences, at+"heading not translated")
		}
		for j, link := range w.links { // in Chinese one goes on in Chinese
			w.links[j] = inChinese(link)
		}
		slices.Sort(w.links)
		for _, kind := range []struct {
			name      string
			want, got []string
		}{
			{"blocks of code", w.blocks, g.blocks}, {"code in the text", w.spans, g.spans},
			{"links", w.links, g.links}, {"tags", w.tags, g.tags},
			{"columns of tables", w.rows, g.rows}, {"paragraphs", w.paragraphs, g.paragraphs},
		} {
			if !slices.Equal(kind.want, kind.got) {
				differences = append(differences, at+kind.name+" differ: the original alone has "+
					without(kind.want, kind.got)+", the translation alone "+without(kind.got, kind.want))
			}
		}
	}
	return differences
}

// without names what is more often in a than in b.
func without(a, b []string) string {
	b = slices.Clone(b)
	return fmt.Sprintf("%q", slices.DeleteFunc(slices.Clone(a), func(s string) bool {
		i := slices.Index(b, s)
		if i >= 0 {
			b = slices.Delete(b, i, i+1)
		}
		return i >= 0
	}))
}

var (
	comments = regexp.MustCompile(`(^|\s+)(#|//) .*$`)
	spans    = regexp.MustCompile("`[^`]+`")
	links    = regexp.MustCompile(`\]\(([^)\s]*)\)`)
	anchors  = regexp.MustCompile(`#.*`)
	tags     = regexp.MustCompile(`</?[a-z]+>`)
)

func parts(markdown string) []part {
	all := []part{{heading: "(top)"}}
	var text strings.Builder // the prose of a section: a span can go over two lines
	end := func() {
		p := &all[len(all)-1]
		p.spans = spans.FindAllString(strings.Join(strings.Fields(text.String()), " "), -1)
		p.tags = tags.FindAllString(text.String(), -1)
		for _, link := range links.FindAllStringSubmatch(text.String(), -1) {
			p.links = append(p.links, anchors.ReplaceAllString(link[1], "#"))
		}
		slices.Sort(p.spans)
		slices.Sort(p.links)
		text.Reset()
	}
	fence, afterBlank := "", true
	for line := range strings.Lines(markdown) {
		line = strings.TrimRight(line, "\n")
		p := &all[len(all)-1]
		isFence := strings.HasPrefix(line, "```")
		switch {
		case isFence && fence == "":
			fence = line
			p.blocks = append(p.blocks, fence)
		case isFence:
			fence = ""
		case fence == "```mermaid", fence == "```": // pictures, with words in them
		case fence != "", afterBlank && strings.HasPrefix(line, "    "):
			p.blocks = append(p.blocks, comments.ReplaceAllString(line, ""))
			continue // a block of indented lines goes on
		case strings.HasPrefix(line, "#"):
			end()
			heading := strings.TrimLeft(line, "#")
			all = append(all, part{heading: strings.TrimSpace(heading), level: len(line) - len(heading)})
		default:
			switch {
			case strings.HasPrefix(strings.TrimSpace(line), "|"): // also within a list
				p.rows = append(p.rows, fmt.Sprint(strings.Count(line, "|")-1))
			case strings.HasPrefix(line, "- "), afterBlank && line != "":
				p.paragraphs = append(p.paragraphs, "one")
			}
			text.WriteString(line + "\n")
		}
		afterBlank = line == "" || strings.HasPrefix(line, "#")
	}
	end()
	return all
}
