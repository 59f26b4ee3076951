// Package docs follows the links of the documents, and looks at their commands.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#{1,6} +(.+)$`)
	code    = regexp.MustCompile("(?ms)^```.*?^```|`[^`\n]*`")
	marks   = regexp.MustCompile(`[^\p{L}\p{N}\- _]`)
)

// Broken returns the links of the Markdown files below root, as "file: link", that lead to no file
// below root or to no heading of one. It does not follow those to other sites.
func Broken(root string) ([]string, error) {
	var broken []string
	texts := map[string]string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && path != root && strings.HasPrefix(e.Name(), ".") {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		texts[path] = string(text)
		return err
	})
	if err != nil {
		return nil, err
	}
	for path, text := range texts {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			to := path
			if file != "" {
				to = filepath.Join(filepath.Dir(path), file)
			}
			within, err := filepath.Rel(root, to)
			_, missing := os.Stat(to)
			if err != nil || strings.HasPrefix(within, "..") || missing != nil ||
				(anchor != "" && !slices.Contains(anchors(texts[to]), anchor)) {
				broken = append(broken, fmt.Sprintf("%s: %s", path, m[1]))
			}
		}
	}
	slices.Sort(broken)
	return broken, nil
}

// anchors are those of the headings, as GitHub makes them.
func anchors(text string) []string {
	var as []string
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		a := marks.ReplaceAllString(strings.ToLower(strings.TrimSpace(m[1])), "")
		as = append(as, strings.ReplaceAll(a, " ", "-"))
	}
	return as
}
