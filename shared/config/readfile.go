package config

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// ReadFile returns the content of a file that a person names. A named pipe that nobody writes to
// counts as empty: to wait for a writer would hold up the start, or every later reload, without a
// word. What is in a pipe already, as of a shell's <(command), is read to its end. A file without
// an end, such as a link to /dev/zero, is an error.
func ReadFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	most := int64(maxFile)
	if info.Mode()&fs.ModeDevice != 0 {
		most = maxDevice
	}
	var content []byte
	if info.Size() <= most {
		content, err = io.ReadAll(io.LimitReader(f, most+1))
	}
	if err == nil && max(info.Size(), int64(len(content))) > most {
		err = fmt.Errorf("%s has more than %d MiB; is it the right file?", path, most>>20)
	}
	return content, err
}

const (
	// maxFile is more than a document of ten million reservations has.
	maxFile = 1 << 30
	// maxDevice is for what people type at a terminal.
	maxDevice = 1 << 20
)
