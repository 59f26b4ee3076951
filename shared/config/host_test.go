package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatIsMissingOnTheHost(t *testing.T) {
	dir := t.TempDir()
	file, program := filepath.Join(dir, "file"), filepath.Join(dir, "program")
	for path, mode := range map[string]os.FileMode{file: 0o600, program: 0o700} {
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, got, want string }{
		{"a directory", MissingDirectory(dir), ""},
		{"no directory", MissingDirectory(filepath.Join(dir, "x")), "does not exist now"},
		{"a file as directory", MissingDirectory(file), "is no directory"},
		{"a program", MissingProgram(program), ""},
		{"no program", MissingProgram(filepath.Join(dir, "x")), "there is no program"},
		{"a file that cannot be run", MissingProgram(file), "chmod +x"},
		{"a directory as program", MissingProgram(dir), "cannot be run"},
	} {
		if (c.want == "") != (c.got == "") || !strings.Contains(c.got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
		}
	}
}
