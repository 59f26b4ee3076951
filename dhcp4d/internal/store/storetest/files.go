package storetest

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// SkipLock hides LOCK: to read and close it would drop the lock.
type SkipLock struct{ fs.FS }

// ReadDir implements fs.ReadDirFS.
func (s SkipLock) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(s.FS, name)
	return slices.DeleteFunc(all, func(e fs.DirEntry) bool { return e.Name() == "LOCK" }), err
}

// Snapshot returns every file of dir with its content, except for LOCK: to read and close it would
// drop the lock.
func Snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "LOCK" {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return files
}

// One returns the file of dir that matches the pattern.
func One(t testing.TB, dir, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 1 {
		return names[0]
	}
	t.Fatalf("for %s there is %q", pattern, names)
	return ""
}

// Overwrite writes octets at an offset of a file.
func Overwrite(t testing.TB, name string, at int64, octets string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(octets), at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
