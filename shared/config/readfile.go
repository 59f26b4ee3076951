package config

import (
	"io"
	"os"
	"syscall"
)

// ReadFile returns the content of a file that a person names. A named pipe that nobody writes to
// counts as empty: to wait for a writer would hold up the start, or every later reload, without a
// word. What is in a pipe already, as of a shell's <(command), is read to its end.
func ReadFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(f)
}
