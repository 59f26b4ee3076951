package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestNobodySkipsByHimself checks that tests skip only by package skip, which fails them in CI
// instead.
func TestNobodySkipsByHimself(t *testing.T) {
	const top = "../../.."
	skips := regexp.MustCompile(`\b(t|b|tb|f)\.Skip(f|Now)?\(|testing\.Short\(|Getenv\("CI"\)`)
	read := 0
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != top:
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasPrefix(path, filepath.Join(top, "shared", "skip")+"/"):
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		read++
		for _, found := range skips.FindAllString(string(content), -1) {
			if filepath.Base(path) != "skips_test.go" {
				t.Errorf("%s: %s: use shared/skip", path, found)
			}
		}
		return nil
	})
	if err != nil || read < 100 {
		t.Errorf("%d files were read, %v", read, err)
	}
}
