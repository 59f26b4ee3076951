package config

import (
	"errors"
	"io/fs"
	"os"
)

// MissingDirectory returns what is wrong with a directory that must be there, for a warning of
// -check: empty if it is there, or if this user may not see it.
func MissingDirectory(path string) string {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "the directory " + path + " does not exist now; make or mount it before the start, or correct the path"
	case err == nil && !info.IsDir():
		return path + " is no directory; correct the path"
	}
	return ""
}

// MissingProgram is the same for a program.
func MissingProgram(path string) string {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no program " + path + " now; install it, or correct the path"
	case err == nil && (info.IsDir() || info.Mode().Perm()&0o111 == 0):
		return path + " cannot be run as a program; make it executable (chmod +x), or correct the path"
	}
	return ""
}
