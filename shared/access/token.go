package access

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// makeToken returns the token in the file at path. A missing file is made, readable for its owner
// only, with a token of 128 random bits.
func makeToken(path string) (string, error) {
	token, err := ReadToken(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, err
	}
	token = rand.Text()
	scratch, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // with mode 0600
	if err != nil {
		return "", fmt.Errorf("making the token of the API: %w", err)
	}
	_, err = scratch.WriteString(token + "\n")
	err = errors.Join(err, scratch.Sync(), scratch.Close())
	if err == nil {
		err = os.Rename(scratch.Name(), path)
	}
	if err != nil {
		return "", fmt.Errorf("making the token of the API: %w", errors.Join(err, os.Remove(scratch.Name())))
	}
	return token, nil
}

// ReadToken returns the token in the file at path, without the white space around it.
func ReadToken(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the token of the API: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", fmt.Errorf("reading the token of the API: %s is empty; remove it and restart the daemon, which makes another", path)
	}
	return token, nil
}
